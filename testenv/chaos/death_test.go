//go:build unix

package chaos

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/register"
)

// published lists the ids that dnsd publishes, suspects included.
func (f *fleet) published() (ids []string) {
	f.t.Helper()
	resp, err := http.Get("http://" + f.hook + "/v1/services/" + service)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	var s register.Service
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		f.t.Fatal(err)
	}
	for _, in := range s.Instances {
		ids = append(ids, in.ID)
	}
	return ids
}

// The connection that holds a registration breaks with the process, so the record is
// removed long before the lease ends.
func TestKilledServerLeavesTheRegistryAtOnce(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	f := newFleet(t, 1)
	s := f.servers["s0"]
	var took []time.Duration
	for began := time.Now(); len(took) < 3 || time.Since(began) < *duration; {
		s.proc.Kill()
		killed := time.Now()
		f.await("the record of a killed server goes", func() bool { return !slices.Contains(f.published(), s.id) })
		took = append(took, time.Since(killed))
		if err := f.startServer(s); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(took)
	t.Logf("%d kills; gone after p50 %v, longest %v; the lease is 6s", len(took), took[len(took)/2], took[len(took)-1])
	if median := took[len(took)/2]; median > 3*time.Second {
		t.Errorf("half of the dead were published for more than %v, half their lease", median)
	}
}

// slack is for probes, timers and a busy machine.
const slack = 3 * time.Second

// A stopped process sends no heartbeats, although its kernel keeps its connections
// and accepts new ones. It leaves DNS when its lease ends; in a service of one or two
// instances a lease later, because its port accepts connections.
func TestStoppedServerLeavesDNSWithItsLease(t *testing.T) {
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	for _, n := range []int{1, 2, 5} {
		t.Run(fmt.Sprintf("of %d", n), func(t *testing.T) {
			t.Parallel() // it waits for a lease or two
			f := newFleet(t, n)
			s := f.servers["s0"]
			s.proc.Signal(syscall.SIGSTOP)
			stopped := time.Now()
			f.await("the record of a stopped server goes", func() bool { return !slices.Contains(f.published(), s.id) })
			took := time.Since(stopped)
			t.Logf("gone after %v; the lease is %v", took, lease)
			leases := lease
			if n <= 2 {
				leases *= 2
			}
			if took > leases+slack {
				t.Errorf("published for %v after it was stopped, with a lease of %v", took, lease)
			}
			s.proc.Signal(syscall.SIGCONT)
			f.await("it is found again", func() bool { return slices.Contains(f.published(), s.id) })
		})
	}
}
