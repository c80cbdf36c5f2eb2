package dnsd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// inMemory is a store in memory that several servers of a test share.
type inMemory struct {
	*memkv.Cluster
	mu   sync.Mutex
	open map[string]*memkv.Store // by the name of the member
}

func newInMemory() *inMemory {
	return &inMemory{Cluster: memkv.New(memkv.Config{}), open: map[string]*memkv.Store{}}
}

// Check implements Stores.
func (*inMemory) Check(SharedStore) error { return nil }

// Open implements Stores.
func (m *inMemory) Open(_ context.Context, s SharedStore, _ *slog.Logger) (kv.Store, error) {
	store := m.Cluster.Open(s.Name)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open[s.Name] = store
	return store, nil
}

// one of several: a zone in a shared store, on free ports.
func oneOf(name string) Zone {
	return free(Zone{
		Store: Store{Kind: "etcd", Shared: &SharedStore{
			Endpoints: []string{"http://127.0.0.1:2379"}, Name: name, Listen: "127.0.0.1:0", Cache: "off",
			Session: time.Minute, // so long no test waits: what takes a session would fail
		}},
		Apex:     Apex{NS: []NameServer{{Name: "ns.svc.", Addrs: nil}}},
		Transfer: Transfer{To: []Secondary{{Addr: "127.0.0.0/8"}}},
	})
}

// A running is a server that can be stopped before the test ends.
type running struct {
	*Server
	stop func() error
}

// begin starts a server. It stops with the test at the latest.
func begin(t *testing.T, cfg Config) *running {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r := &running{s, sync.OnceValue(func() error {
		cancel()
		return <-ended
	})}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

// eventually waits until f returns "", the reason why it is not so yet.
func eventually(t *testing.T, f func() string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		why := f()
		if why == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatal(why)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// readiness is the answer of /readyz.
func readiness(t *testing.T, s *Server) (status int, answer map[string]any) {
	t.Helper()
	return request(t, "GET", s.HookURL()+"/readyz", "")
}

func awaitReady(t *testing.T, all ...*running) {
	t.Helper()
	for _, s := range all {
		eventually(t, func() string {
			if status, answer := readiness(t, s.Server); status != http.StatusOK {
				return fmt.Sprint("not ready: ", answer)
			}
			return ""
		})
	}
}

// put registers an instance until it is done: there may be no writer at the moment.
func put(t *testing.T, s *Server, id, body string) {
	t.Helper()
	eventually(t, func() string {
		status, answer := request(t, "PUT", s.HookURL()+"/v1/services/_math._tcp/instances/"+id, body)
		if status == http.StatusServiceUnavailable {
			return fmt.Sprint(answer)
		}
		if status >= 300 {
			t.Fatalf("PUT %s: %d %v", id, status, answer)
		}
		return ""
	})
}

// transfer is the whole zone, as octets.
func transfer(t *testing.T, s *Server) string {
	t.Helper()
	envelopes, err := new(dns.Transfer).In(new(dns.Msg).SetAxfr("svc."), s.DNSAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for e := range envelopes {
		if e.Error != nil {
			t.Fatal(e.Error)
		}
		for _, rr := range e.RR {
			buf := make([]byte, 512)
			n, err := dns.PackRR(rr, buf, 0, nil, false)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(buf[:n]))
		}
	}
	return strings.Join(all, "\n")
}

// await waits until all have the newest revision of any.
func await(t *testing.T, all ...*running) {
	t.Helper()
	newest := uint64(0)
	for _, s := range all {
		newest = max(newest, s.blocks[0].reg.part.Revision())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, s := range all {
		if err := s.blocks[0].reg.part.Await(ctx, newest); err != nil {
			t.Fatal(err)
		}
	}
}

// writer is the one of all that leads.
func writer(t *testing.T, all ...*running) (w *running, others []*running) {
	t.Helper()
	eventually(t, func() string {
		i := slices.IndexFunc(all, func(s *running) bool { return s.blocks[0].reg.part.Leads() })
		if i < 0 {
			return "no server is the writer"
		}
		w = all[i]
		return ""
	})
	for _, s := range all {
		if s != w {
			others = append(others, s)
		}
	}
	return w, others
}

func three(t *testing.T, stores *inMemory) []*running {
	t.Helper()
	var all []*running
	for _, name := range []string{"a", "b", "c"} {
		all = append(all, begin(t, Config{Zones: []Zone{oneOf(name)}, Stores: stores}))
	}
	awaitReady(t, all...)
	return all
}

// TestSeveralPublishTheSame: whatever of several dnsd takes the writes, all transfer the
// same octets at the same serial, and each has what it has acknowledged at once.
func TestSeveralPublishTheSame(t *testing.T) {
	all := three(t, newInMemory())
	var churn sync.WaitGroup
	for i, s := range all {
		churn.Go(func() {
			for n := range 40 {
				id := fmt.Sprintf("a%d", (n*7+i*3)%20)
				put(t, s.Server, id, fmt.Sprintf(`{"host":"10.0.%d.%d","port":%d}`, i, n, 1000+n))
				if n%5 == 4 {
					request(t, "DELETE", s.HookURL()+"/v1/services/_math._tcp/instances/"+id, "")
				}
			}
		})
	}
	churn.Wait()
	for i, s := range all {
		id := fmt.Sprint("own", i)
		put(t, s.Server, id, `{"host":"10.1.1.1","port":1}`)
		if r := ask(t, s.DNSAddr(), id+".math.tcp.svc.", dns.TypeA); len(r.Answer) != 1 {
			t.Errorf("server %d has acknowledged %s, and answers %v", i, id, r)
		}
	}
	await(t, all...)
	want := transfer(t, all[0].Server)
	if strings.Count(want, "\n") < 20 {
		t.Fatalf("the zone has %d records", strings.Count(want, "\n"))
	}
	for i, s := range all[1:] {
		if got := transfer(t, s.Server); got != want {
			t.Errorf("server %d transfers\n%q\nand server 0\n%q", i+1, got, want)
		}
	}
}

// TestStopHandsTheWriterOver: a writer that is stopped makes another one the writer, long
// before its session would end.
func TestStopHandsTheWriterOver(t *testing.T) {
	all := three(t, newInMemory())
	put(t, all[0].Server, "a1", `{"port":8080}`)
	for len(all) > 1 {
		await(t, all...)
		old, others := writer(t, all...)
		life := old.blocks[0].reg.part.Life()
		if err := old.stop(); err != nil {
			t.Fatal(err)
		}
		for i, s := range others {
			put(t, s.Server, fmt.Sprintf("b%d%d", len(all), i), `{"port":8080}`)
			if r := ask(t, s.DNSAddr(), "a1.math.tcp.svc.", dns.TypeA); len(r.Answer) != 1 {
				t.Errorf("a1 is gone: %v", r)
			}
			if now := s.blocks[0].reg.part.Life(); now != life {
				t.Errorf("a new life, %v, after %v: watches and transfers begin again", now, life)
			}
		}
		all = others
	}
}

// TestNotReadyUntilTheStoreWasRead: a start does not wait for the store. Until the store
// answers, DNS does not say that services do not exist.
func TestNotReadyUntilTheStoreWasRead(t *testing.T) {
	stores := newInMemory()
	first := begin(t, Config{Zones: []Zone{oneOf("a")}, Stores: stores})
	awaitReady(t, first)
	put(t, first.Server, "a1", `{"port":8080}`)
	stores.Stop()
	second := begin(t, Config{Zones: []Zone{oneOf("b")}, Stores: stores})
	status, answer := readiness(t, second.Server)
	if status != http.StatusServiceUnavailable || !strings.Contains(fmt.Sprint(answer["detail"]), "it has no content yet") {
		t.Errorf("readyz of the second: %d %v", status, answer)
	}
	m := new(dns.Msg).SetQuestion("_math._tcp.svc.", dns.TypeSRV)
	m.SetEdns0(1232, false)
	r, err := dns.Exchange(m, second.DNSAddr().String())
	if err != nil || r.Rcode != dns.RcodeServerFailure || !strings.Contains(r.String(), "Not Ready") {
		t.Errorf("%v %v, want SERVFAIL with Not Ready", r, err)
	}
	if status, answer := request(t, "PUT", second.HookURL()+"/v1/services/_math._tcp/instances/b1", `{"port":8080}`); status != http.StatusServiceUnavailable {
		t.Errorf("a registration: %d %v", status, answer)
	}
	stores.Start()
	awaitReady(t, first, second)
	if r := ask(t, second.DNSAddr(), "_math._tcp.svc.", dns.TypeSRV); len(r.Answer) != 1 {
		t.Errorf("%v", r)
	}
	put(t, second.Server, "b1", `{"port":8080}`)
}

// TestOtherZoneOnTheSamePrefix: the start says so, and nothing is overwritten.
func TestOtherZoneOnTheSamePrefix(t *testing.T) {
	stores := newInMemory()
	first := begin(t, Config{Zones: []Zone{oneOf("a")}, Stores: stores})
	awaitReady(t, first)
	other := oneOf("b")
	other.Origins, other.Apex = []string{"srv."}, Apex{}
	other.Store.Shared.Prefix = "/rollcall/svc"
	if _, err := New(Config{Zones: []Zone{other}, Stores: stores}); err == nil || !strings.HasPrefix(err.Error(), "dnsd: zone srv.: store prefix: ") || !strings.Contains(err.Error(), "it is of the zone svc., and this is srv.") {
		t.Errorf("got %v", err)
	}

	// A store that was away at the start says it later.
	stores.Stop()
	s, err := New(Config{Zones: []Zone{other}, Stores: stores})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	stores.Start()
	if err := <-ended; err == nil || !strings.HasPrefix(err.Error(), "dnsd: zone srv.: store prefix: ") {
		t.Errorf("got %v", err)
	}
	put(t, first.Server, "a1", `{"port":8080}`)
}

// TestClusterIsShown: the hook lists the members, and the metrics say which is the writer.
func TestClusterIsShown(t *testing.T) {
	all := three(t, newInMemory())
	put(t, all[0].Server, "a1", `{"port":8080}`)
	await(t, all...)
	w, others := writer(t, all...)
	eventually(t, func() string {
		_, c := request(t, "GET", others[0].HookURL()+"/v1/cluster", "")
		members, _ := c["members"].([]any)
		if len(members) != 3 {
			return fmt.Sprint("members: ", c)
		}
		revision := members[0].(map[string]any)["revision"]
		for _, m := range members {
			if m := m.(map[string]any); m["error"] != nil || m["revision"] != revision {
				return fmt.Sprint("members: ", c)
			}
		}
		if first := members[0].(map[string]any); first["role"] != "writer" || first["hook"] != w.HookURL() || c["writer"] != first["name"] {
			return fmt.Sprint("writer: ", c)
		}
		return ""
	})
	for _, s := range all {
		text := scrape(t, s.Server)
		want := "rollcall_cluster_writer 0"
		if s == w {
			want = "rollcall_cluster_writer 1"
		}
		for _, line := range []string{want, "rollcall_cluster_members 3", "rollcall_cluster_stale 0", "rollcall_cluster_lag_revisions 0"} {
			if !strings.Contains(text, line+"\n") {
				t.Errorf("no %q", line)
			}
		}
	}
}

// scrape is what /metrics shows.
func scrape(t *testing.T, s *Server) string {
	t.Helper()
	resp, err := http.Get(s.HookURL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
