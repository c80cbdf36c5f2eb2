package chaos

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/register"
)

// published lists the ids that dnsd publishes.
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

// The connection that holds a registration dies with the process: the record is
// gone long before the lease is.
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
