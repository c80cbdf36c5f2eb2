package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/register"
)

// Kill -9 ends dnsd, a process of its own, at random moments of many registrations
// and deregistrations. After each restart, what was acknowledged as registered is
// there, and what was acknowledged as deregistered is not.
func TestKillNineLosesNothingAcknowledged(t *testing.T) {
	const kills, clients, ids = 50, 4, 8
	path := filepath.Join(t.TempDir(), "svc.db")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	ledgers := make([]ledger, clients)
	for c := range ledgers {
		ledgers[c] = ledger{rnd: rand.New(rand.NewPCG(seed, uint64(c))), client: c, state: make([]int, ids)}
	}
	moments := rand.New(rand.NewPCG(seed, clients))
	acknowledged := 0
	for range kills {
		p := peertest.StartSelf(t, "dnsd", storeVar+"="+path)
		hook, err := p.Line()
		if err != nil {
			t.Fatal(err)
		}
		published := publishedBy(t, hook)
		for c := range ledgers {
			ledgers[c].check(t, published)
		}
		var wg sync.WaitGroup
		first := make(chan struct{}, clients)
		for c := range ledgers {
			wg.Go(func() { ledgers[c].work(t, hook, first) })
		}
		<-first // the moment counts from the first acknowledgement
		time.Sleep(time.Duration(moments.IntN(30_000)) * time.Microsecond)
		p.Kill()
		wg.Wait()
	}
	for c := range ledgers {
		acknowledged += ledgers[c].acknowledged
	}
	t.Logf("%d kills, %d acknowledged requests", kills, acknowledged)
}

// What a ledger knows of an instance; above 0 it is the port it is registered
// with.
const (
	gone    = 0
	unknown = -1 // the last request was not answered
)

// A ledger is one client's record of what dnsd has acknowledged to it.
type ledger struct {
	rnd          *rand.Rand
	client       int
	state        []int
	acknowledged int
}

func (l *ledger) id(i int) string { return fmt.Sprintf("c%d-%d", l.client, i) }

// work registers and deregisters until a request fails because dnsd is dead.
func (l *ledger) work(t *testing.T, hook string, first chan<- struct{}) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for {
		i := l.rnd.IntN(len(l.state))
		next, method, body := gone, http.MethodDelete, ""
		if l.state[i] == gone || l.state[i] == unknown || l.rnd.IntN(2) == 0 {
			next = 1 + l.rnd.IntN(65535)
			method, body = http.MethodPut, fmt.Sprintf(`{"port":%d,"lease":"1h"}`, next)
		}
		l.state[i] = unknown
		url := hook + "/v1/services/_crash._tcp/instances/" + l.id(i)
		req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader([]byte(body)))
		if err != nil {
			t.Error(err)
			return
		}
		resp, err := client.Do(req)
		if err != nil {
			return
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil {
			return
		}
		if resp.StatusCode/100 != 2 {
			t.Errorf("%s %s: %s", method, l.id(i), resp.Status)
			return
		}
		l.state[i] = next
		l.acknowledged++
		select {
		case first <- struct{}{}:
		default:
		}
	}
}

// check compares the ledger with what is published, and fills in what was unknown.
func (l *ledger) check(t *testing.T, published map[string]int) {
	t.Helper()
	for i, want := range l.state {
		have := published[l.id(i)]
		if want != unknown && have != want {
			t.Fatalf("%s: acknowledged port %d (0: gone), after the restart %d", l.id(i), want, have)
		}
		l.state[i] = have
	}
}

// publishedBy returns the ports by id that the hook shows.
func publishedBy(t *testing.T, hook string) map[string]int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, hook+"/v1/services/_crash._tcp", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	ports := map[string]int{}
	if resp.StatusCode == http.StatusNotFound {
		return ports
	}
	var s register.Service
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	for _, in := range s.Instances {
		ports[in.ID] = int(in.Port)
	}
	return ports
}
