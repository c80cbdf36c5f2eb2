//go:build unix

package chaos

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/rpcclient"
)

// A server that stops in order tells its clients, not only dnsd.
func TestStoppingServersWhileDNSDIsAwayFailsNoCall(t *testing.T) {
	f := newFleet(t, 3)
	client := f.client(rpcclient.Config{}) // methods are not idempotent
	l := calls(client)
	rounds := 0
	for began := time.Now(); rounds == 0 || time.Since(began) < *duration; rounds++ {
		f.dnsd.Kill()
		for _, id := range []string{"s0", "s1"} {
			s := f.servers[id]
			s.proc.Signal(syscall.SIGTERM)
			stopping := time.Now()
			if err := s.proc.Wait(); err != nil {
				t.Logf("%s: %v", id, err) // its error is that it could not deregister
			}
			t.Logf("%s stopped in %v", id, time.Since(stopping))
		}
		if err := f.startDNSD(); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"s0", "s1"} {
			if err := f.startServer(f.servers[id]); err != nil {
				t.Fatal(err)
			}
		}
		f.await("the client knows all three", func() bool { return connected(client) == 3 })
	}
	v := judge(l.end(), f.executed())
	f.summary(v, client, fmt.Sprintf("%d rounds", rounds))
	v.noneLost(t)
	if v.failed > 0 || v.twice > 0 {
		t.Errorf("%d calls failed, %d were executed twice", v.failed, v.twice)
	}
}

func connected(client *rpcclient.Client) (n int) {
	for _, node := range client.Stats().Nodes {
		if node.Connections > 0 {
			n++
		}
	}
	return n
}

// A dnsd that lost its memory knows no instance until the servers have registered
// again. Clients keep their connections meanwhile.
func TestRestartingForgetfulDNSDFailsNoCall(t *testing.T) {
	f := newForgetfulFleet(t, *servers)
	client := f.client(rpcclient.Config{})
	l := calls(client)
	restarts := 0
	for began := time.Now(); restarts == 0 || time.Since(began) < *duration; restarts++ {
		f.dnsd.Kill()
		if err := f.startDNSD(); err != nil {
			t.Fatal(err)
		}
		f.await("all servers are registered again", func() bool { return len(f.published()) == *servers })
		if n := connected(client); n == 0 {
			t.Error("the client has no connection to healthy servers")
		}
	}
	v := judge(l.end(), f.executed())
	f.summary(v, client, fmt.Sprintf("%d restarts of dnsd", restarts))
	v.noneLost(t)
	if v.failed > 0 || v.twice > 0 {
		t.Errorf("%d calls failed, %d were executed twice", v.failed, v.twice)
	}
}
