package testenv

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
)

// following is a client that follows the service of the environment.
type following struct {
	t      *testing.T
	states chan resolver.State
	last   string // addresses
}

func follow(t *testing.T, r *resolver.Resolver, name string) *following {
	ctx, cancel := context.WithCancel(t.Context())
	f, done := &following{t: t, states: make(chan resolver.State)}, make(chan struct{})
	go func() {
		defer close(done)
		for st := range r.Watch(ctx, name) {
			select {
			case f.states <- st:
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

// await waits for a state with these addresses.
func (f *following) await(want string) {
	f.t.Helper()
	end := time.After(patience)
	for f.last != want {
		select {
		case st := <-f.states:
			var addrs []string
			for _, ep := range st.Endpoints {
				addrs = append(addrs, ep.Addr)
			}
			slices.Sort(addrs)
			f.last = strings.Join(addrs, " ")
		case <-end:
			f.t.Fatalf("the client has %q, want %q", f.last, want)
		}
	}
}

// awaitPush waits until the client follows.
func awaitPush(t *testing.T, r *resolver.Resolver, name string) {
	t.Helper()
	awaitCount(t, "sessions", func() int64 {
		if r.Freshness(name).By == "push" {
			return 1
		}
		return 0
	}, 1)
}

// registrations registers instances of the service, and keeps the addresses of them all.
type registrations struct {
	env *Env
	all map[string]string // by id
}

func (g *registrations) change(i int, port uint16) {
	id := fmt.Sprintf("i%02d", i)
	if port == 0 {
		req, err := http.NewRequestWithContext(g.env.ctx, http.MethodDelete, g.env.HookURL()+"/v1/services/_math._tcp/instances/"+id, nil)
		if err != nil {
			g.env.t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			g.env.t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode/100 != 2 {
			g.env.t.Fatalf("DELETE %s: %s", id, resp.Status)
		}
		delete(g.all, id)
		return
	}
	g.env.Put(id, register.Registration{Host: fmt.Sprintf("10.0.0.%d", i+1), Port: port, Lease: register.Duration(time.Hour), TTL: register.Duration(5 * time.Minute)})
	g.all[id] = fmt.Sprintf("10.0.0.%d:%d", i+1, port)
}

func (g *registrations) want() string {
	var addrs []string
	for _, addr := range g.all {
		addrs = append(addrs, addr)
	}
	slices.Sort(addrs)
	return strings.Join(addrs, " ")
}

// TestAServiceChanges: each of many clients learns it, though the TTL is five minutes.
func TestAServiceChanges(t *testing.T) {
	env := New(t, Setup{Nodes: -1})
	g := &registrations{env, map[string]string{}}
	g.change(0, 8000)
	var clients []*following
	for range 50 {
		r := env.Resolver()
		f := follow(t, r, env.Name())
		f.await(g.want())
		awaitPush(t, r, env.Name())
		clients = append(clients, f)
	}
	for _, change := range []struct {
		i    int
		port uint16
	}{{1, 8000}, {0, 9000}, {1, 0}, {0, 0}} {
		g.change(change.i, change.port)
		for _, f := range clients {
			f.await(g.want())
		}
	}
}

// cutter is a Dial whose connections can be cut.
type cutter struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cutter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil && network == "tcp" {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

// cut ends all connections: both ways, or only that of the client to the server.
func (c *cutter) cut(half bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		if half {
			conn.(*net.TCPConn).CloseWrite()
		} else {
			conn.Close()
		}
	}
	c.conns = nil
}

// TestTheSessionOfAClientIsCut, again and again at random moments, while instances come, go
// and change. In the end the client has what is registered. The TTL is five minutes, so
// nothing is found by waiting.
func TestTheSessionOfAClientIsCut(t *testing.T) {
	env := New(t, Setup{Nodes: -1})
	rnd := rand.New(rand.NewPCG(15, 1))
	g := &registrations{env, map[string]string{}}
	g.change(0, 8000)
	var way cutter
	r := env.Resolver()
	r.Dial = way.dial
	f := follow(t, r, env.Name())
	f.await(g.want())
	awaitPush(t, r, env.Name())
	for range 3 { // the pause before the next session doubles
		for range rnd.IntN(4) {
			g.change(1+rnd.IntN(8), uint16(8000+rnd.IntN(3)))
		}
		if i := rnd.IntN(8); g.all[fmt.Sprintf("i%02d", i)] != "" && len(g.all) > 1 {
			g.change(i, 0)
		}
		way.cut(rnd.IntN(2) == 0)
		g.change(1+rnd.IntN(8), uint16(9000+rnd.IntN(3)))
		f.await(g.want())
		awaitPush(t, r, env.Name())
	}
	g.change(20, 8000)
	f.await(g.want())
}

// TestAProcessWithManyClients: without a Source of their own they have one session.
func TestAProcessWithManyClients(t *testing.T) {
	env := New(t, Setup{Nodes: -1})
	t.Setenv("ROLLCALL_DNS", strings.Join(env.DNSAddrs(), ","))
	var clients []*rpcclient.Client
	var names []string
	for i := range 5 {
		env.setup.Service = fmt.Sprintf("_s%d._tcp", i)
		env.Put("a", register.Registration{Host: "127.0.0.1", Port: 1, Lease: register.Duration(time.Hour)})
		c, err := rpcclient.New(env.Name(), &rpcclient.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients, names = append(clients, c), append(names, env.Name())
	}
	for i, c := range clients {
		awaitCount(t, "followed names of "+names[i], func() int64 { return int64(followed(t, c)) }, 1)
	}
	if total, subscriptions := sessions(t, env); total != 1 || subscriptions != len(clients) {
		t.Errorf("%d clients have %d sessions with %d subscriptions", len(clients), total, subscriptions)
	}
	for _, c := range clients {
		c.Close()
	}
	// dnsd learns of the end by the connection.
	awaitCount(t, "ends of the session", func() int64 { total, _ := sessions(t, env); return int64(1 - total) }, 1)
}

// followed is 1 if the name of the client is kept fresh by a session.
func followed(t *testing.T, c *rpcclient.Client) int {
	t.Helper()
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/?format=json", nil))
	return strings.Count(w.Body.String(), `"fresh_by": "push"`) + strings.Count(w.Body.String(), `"fresh_by":"push"`)
}

// sessions asks dnsd how many sessions there are, and how many subscriptions in them.
func sessions(t *testing.T, env *Env) (total, subscriptions int) {
	t.Helper()
	resp, err := http.Get(env.HookURL() + "/v1/push")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct {
		Total    int
		Sessions []struct{ Subscriptions int }
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	for _, s := range list.Sessions {
		subscriptions += s.Subscriptions
	}
	return list.Total, subscriptions
}
