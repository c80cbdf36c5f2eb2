package dnsd

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/resolver"
)

// TestARestoreReachesAllThatAreAttached: a dnsd is lost with its files, and a snapshot of it
// is restored by a new one at its addresses, which may have content already. A secondary
// that only NOTIFY wakes, a watcher, a client that follows live and a server that keeps its
// registration all get to what the new one has. No serial and no revision means two things.
func TestARestoreReachesAllThatAreAttached(t *testing.T) {
	for name, tt := range map[string]struct {
		keeps bool // the ceiling, which is all that is left of the revisions
		first func(t *testing.T, s *Server)
		want  []string // beside kept
	}{
		"all files are lost":     {false, func(*testing.T, *Server) {}, []string{"a1:9001", "a2:9002", "a3:9003"}},
		"the store is lost":      {true, func(*testing.T, *Server) {}, []string{"a1:9001", "a2:9002", "a3:9003"}},
		"the new one has others": {false, func(t *testing.T, s *Server) { put(t, s, "a1", bodyOf(9101)); put(t, s, "b1", bodyOf(9201)) }, []string{"a1:9101", "a2:9002", "a3:9003", "b1:9201"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits for pauses
			addrs := freeaddr.Take(2)
			notified := newNotified(t)
			z := Zone{
				Bind: []string{addrs[0].String()}, Hook: Hook{Addr: addrs[1].String()}, TTL: time.Second,
				Store:    Store{Kind: "memory"},
				Apex:     Apex{NS: []NameServer{{Name: "ns.svc."}}},
				Transfer: Transfer{To: []Secondary{{Addr: notified.addr}, {Addr: "127.0.0.0/8"}}},
			}
			cfg := Config{StateDir: t.TempDir(), Zones: []Zone{z}}
			s := begin(t, cfg)
			burst(t, s.blocks[0].reg.part, 1000) // a minute ahead of the clock
			for i := range 1000 {
				if _, err := s.blocks[0].reg.part.Deregister(t.Context(), registry.Key{Service: "_math._tcp", ID: fmt.Sprint("a", i)}, nil); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 3 {
				put(t, s.Server, fmt.Sprint("a", i+1), bodyOf(9001+i))
			}
			w, f, second := watchAll(t, s.HookURL()), followMath(t, addrs[0].String()), &secondary{}
			lease, err := register.Keep(t.Context(), register.Config{
				Hooks: []string{s.HookURL()}, Service: "_math._tcp", ID: "kept", Logger: slog.New(slog.DiscardHandler),
				Registration: register.Registration{Host: "127.0.0.1", Port: 9999},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = lease.Close(context.Background()) }() // before its dnsd ends
			texts := map[uint32]string{}
			attached := func(s *Server, want ...string) {
				t.Helper()
				want = append(want, "kept:9999")
				slices.Sort(want)
				eventually(t, func() string { return differ("the watcher", w.content(), want) })
				eventually(t, func() string { return differ("the client", f.content(), want) })
				eventually(t, func() string {
					if notified.taken() {
						second.refresh(t, s)
						if before, ok := texts[second.soa.Serial]; ok && before != second.text() {
							t.Errorf("serial %d has two contents:\n%s\nand\n%s", second.soa.Serial, before, second.text())
						}
						texts[second.soa.Serial] = second.text()
					}
					if second.soa == nil || second.soa.Serial != serialOf(t, s) {
						return "the secondary was left behind"
					}
					return ""
				})
				second.check(t, s)
			}
			attached(s.Server, "a1:9001", "a2:9002", "a3:9003")
			eventually(t, func() string {
				if got := f.r.Freshness("_math._tcp.svc.").By; got != "push" {
					return "the client follows by " + got
				}
				return ""
			})
			body := snapshotOf(t, s.Server)
			put(t, s.Server, "late", bodyOf(9300))
			attached(s.Server, "a1:9001", "a2:9002", "a3:9003", "late:9300")
			before := serialOf(t, s.Server)

			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			if !tt.keeps {
				cfg.StateDir = t.TempDir()
			}
			s = begin(t, cfg)
			tt.first(t, s.Server)
			if status, answer := request(t, "POST", s.HookURL()+"/v1/snapshot", body); status != http.StatusOK {
				t.Fatal(status, answer)
			}
			attached(s.Server, tt.want...)
			if after := serialOf(t, s.Server); int32(after-before) <= 0 {
				t.Errorf("serial %d after %d", after, before)
			}
			put(t, s.Server, "a9", bodyOf(9009)) // and they go on
			attached(s.Server, append(slices.Clone(tt.want), "a9:9009")...)
			w.check(t)
		})
	}
}

// bodyOf is a registration that nothing has to renew in this test.
func bodyOf(port int) string {
	return fmt.Sprintf(`{"port":%d,"host":"127.0.0.1","lease":"1h"}`, port)
}

// differ says what one that is attached has instead of what it should have.
func differ(who string, got, want []string) string {
	if slices.Equal(got, want) {
		return ""
	}
	return fmt.Sprintf("%s has %v, want %v", who, got, want)
}

// snapshotOf is a snapshot as a request that restores it.
func snapshotOf(t *testing.T, s *Server) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(fetch(t, s.HookURL()+"/v1/snapshot")), "\n")
	var head struct{ Revision uint64 }
	if err := json.Unmarshal([]byte(lines[0]), &head); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"zone":"svc.","revision":%d,"lines":[%s]}`, head.Revision, strings.Join(lines[1:len(lines)-1], ","))
}

// notified is the side of a secondary that NOTIFY reaches (RFC 1996).
type notified struct {
	addr string
	got  chan struct{}
}

func newNotified(t *testing.T) *notified {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &notified{pc.LocalAddr().String(), make(chan struct{}, 1)}
	srv := &dns.Server{PacketConn: pc, MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }}
	srv.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		_ = w.WriteMsg(new(dns.Msg).SetReply(m)) // else it comes again
		select {
		case n.got <- struct{}{}:
		default:
		}
	})
	started, done := make(chan struct{}), make(chan struct{})
	srv.NotifyStartedFunc = func() { close(started) }
	go func() { defer close(done); _ = srv.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = srv.Shutdown(); <-done })
	return n
}

// taken says whether a NOTIFY came since it was called last.
func (n *notified) taken() bool {
	select {
	case <-n.got:
		return true
	default:
		return false
	}
}

// followed is a client that follows _math._tcp.
type followed struct {
	r *resolver.Resolver

	mu    sync.Mutex // guards state
	state resolver.State
}

func followMath(t *testing.T, server string) *followed {
	f := &followed{r: &resolver.Resolver{Servers: []string{server}, Timeout: time.Second}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for st := range f.r.Watch(ctx, "_math._tcp.svc.") {
			f.mu.Lock()
			f.state = st
			f.mu.Unlock()
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

// content are the instances that it knows, as id:port.
func (f *followed) content() (all []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, ep := range f.state.Endpoints {
		id, _, _ := strings.Cut(ep.Target, ".")
		_, port, _ := net.SplitHostPort(ep.Addr)
		all = append(all, id+":"+port)
	}
	slices.Sort(all)
	return all
}

// watched is a watcher that goes on where it was, and begins again when it must.
type watched struct {
	mu        sync.Mutex // guards the others
	instances map[string]string
	events    map[string]string // by id
	problem   string
	last      map[string]uint64 // revision, by life
}

func watchAll(t *testing.T, hook string) *watched {
	w := &watched{instances: map[string]string{}, events: map[string]string{}, last: map[string]uint64{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for since := ""; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) { // the hook is away for a moment
			since = w.stream(ctx, hook, since)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// stream reads one stream from since to its end, and returns where the next one begins.
func (w *watched) stream(ctx context.Context, hook, since string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, hook+"/v1/watch?since="+since, nil)
	if err != nil {
		return since
	}
	if since == "" {
		req.URL.RawQuery = ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return since
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusGone {
		return ""
	}
	fresh, id := since == "", ""
	present := map[string]string{}
	for scan := bufio.NewScanner(resp.Body); scan.Scan(); {
		name, value, _ := strings.Cut(scan.Text(), ": ")
		if name == "id" {
			id = value
		}
		if name != "data" {
			continue
		}
		var e register.Event
		if json.Unmarshal([]byte(value), &e) != nil {
			continue // the end of the stream
		}
		w.mu.Lock()
		text := fmt.Sprintf("%s:%d", e.Instance.ID, e.Instance.Port)
		switch e.Type {
		case "snapshot":
			present[e.Instance.ID] = text
		case "sync":
			if fresh {
				w.instances = present
			}
		case register.EventPut, register.EventDelete:
			life, _, _ := strings.Cut(id, "-")
			if e.Revision <= w.last[life] {
				w.problem = fmt.Sprintf("revision %d after %d", e.Revision, w.last[life])
			}
			w.last[life] = e.Revision
			if before, ok := w.events[id]; ok && before != value {
				w.problem = fmt.Sprintf("event %s is %s, and was %s", id, value, before)
			}
			w.events[id] = value
			if w.instances[e.Instance.ID] = text; e.Type == register.EventDelete {
				delete(w.instances, e.Instance.ID)
			}
		}
		w.mu.Unlock()
		if id != "" {
			since = id
		}
	}
	return since
}

func (w *watched) content() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := slices.Collect(maps.Values(w.instances))
	slices.Sort(all)
	return all
}

func (w *watched) check(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.problem != "" || len(w.events) == 0 {
		t.Errorf("the watcher has seen %d events; %s", len(w.events), w.problem)
	}
}
