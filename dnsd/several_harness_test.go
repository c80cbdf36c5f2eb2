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

// scrape is what /metrics shows.
func scrape(t *testing.T, s *Server) string {
	t.Helper()
	return fetch(t, s.HookURL()+"/metrics")
}

// fetch is the body of an answer to GET.
func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
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
