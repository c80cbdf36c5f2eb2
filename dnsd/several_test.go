package dnsd

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/release"
)

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
	t.Parallel() // it waits for real time
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
	r, err := exchange(m, second.DNSAddr().String())
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

// TestStoreAwayMakesAnswersStale: when the store has been away for longer than the
// session, answers go on and say so, writes are refused with the reason, and nothing
// expires.
func TestStoreAwayMakesAnswersStale(t *testing.T) {
	t.Parallel() // it waits for real time
	stores := newInMemory()
	var all []*running
	for _, name := range []string{"a", "b"} {
		z := oneOf(name)
		z.Store.Shared.Session = 2 * time.Second // the shortest
		all = append(all, begin(t, Config{Zones: []Zone{z}, Stores: stores}))
	}
	awaitReady(t, all...)
	put(t, all[0].Server, "a1", `{"port":8080}`)
	await(t, all...)
	extended := func(s *running) string {
		m := new(dns.Msg).SetQuestion("_math._tcp.svc.", dns.TypeSRV)
		m.SetEdns0(1232, false)
		r, err := exchange(m, s.DNSAddr().String())
		if err != nil || r.Rcode != dns.RcodeSuccess || len(r.Answer) == 0 {
			t.Fatalf("%v %v", r, err)
		}
		return r.IsEdns0().String()
	}
	for _, s := range all {
		eventually(t, func() string {
			if text := extended(s); strings.Contains(text, "Stale Answer") {
				return "stale at first: " + text
			}
			return ""
		})
	}
	stores.Stop()
	for _, s := range all {
		eventually(t, func() string {
			status, answer := readiness(t, s.Server)
			if status != http.StatusServiceUnavailable || !strings.Contains(extended(s), "Stale Answer") {
				return fmt.Sprint("not stale: ", status, answer)
			}
			return ""
		})
		if status, answer := readiness(t, s.Server); !strings.Contains(fmt.Sprint(answer), "its content may be old: the store has not answered for") {
			t.Errorf("%d %v", status, answer)
		}
		if text := scrape(t, s.Server); !strings.Contains(text, "rollcall_cluster_stale 1\n") {
			t.Error("the metrics do not say that it is stale")
		}
	}
	if status, answer := request(t, "PUT", all[1].HookURL()+"/v1/services/_math._tcp/instances/a2", `{"port":8080}`); status != http.StatusServiceUnavailable {
		t.Errorf("%d %v", status, answer)
	}
	stores.Start()
	awaitReady(t, all...)
	for i, s := range all {
		eventually(t, func() string {
			if text := extended(s); strings.Contains(text, "Stale Answer") {
				return text
			}
			return ""
		})
		put(t, s.Server, fmt.Sprint("b", i), `{"port":8080}`)
	}
}

// TestTheFirstAnswerFromTheCopyIsStale: no answer from the local copy looks like one from
// the store.
func TestTheFirstAnswerFromTheCopyIsStale(t *testing.T) {
	t.Parallel() // it waits for real time
	stores := newInMemory()
	z := oneOf("a")
	z.Store.Shared.Cache = filepath.Join(t.TempDir(), "svc.copy")
	first := begin(t, Config{Zones: []Zone{z}, Stores: stores})
	put(t, first.Server, "a1", `{"port":8080,"lease":"1h"}`)
	eventually(t, func() string {
		text, err := os.ReadFile(z.Store.Shared.Cache)
		if err != nil || !strings.Contains(string(text), `"a1"`) {
			return fmt.Sprint("no copy: ", err)
		}
		return ""
	})
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	stores.Stop()
	defer stores.Start()
	second := begin(t, Config{Zones: []Zone{z}, Stores: stores})
	m := new(dns.Msg).SetQuestion("_math._tcp.svc.", dns.TypeSRV)
	m.SetEdns0(1232, false)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		r, err := exchange(m, second.DNSAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		if r.Rcode == dns.RcodeServerFailure {
			continue
		}
		if text := r.IsEdns0().String(); len(r.Answer) != 1 || !strings.Contains(text, "Stale Answer") {
			t.Errorf("%v", r)
		}
		return
	}
	t.Error("no answer")
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
			if m := m.(map[string]any); m["error"] != nil || m["revision"] != revision || m["version"] != release.Rollcall() || fmt.Sprint(m["knows"]) != "[drain]" {
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
