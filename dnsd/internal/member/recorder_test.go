package member

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// recorder is the testing.TB of one try of a test of rapid. A failure in a bubble would
// end the whole test, and rapid could not look for a shorter one.
type recorder struct {
	testing.TB

	mu   sync.Mutex
	text strings.Builder
	bad  bool
}

// ended is the panic with which a try ends.
type ended struct{}

func (r *recorder) Helper() {}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bad
}

func (r *recorder) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.text, format+"\n", args...)
}

func (r *recorder) Errorf(format string, args ...any) {
	r.Logf(format, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bad = true
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(ended{})
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprintln(args...)) }
func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprintln(args...)) }

// try runs one try of a test of rapid in a bubble. Everything that is random was drawn
// before.
func try(t *testing.T, rt *rapid.T, config memkv.Config, f func(c *cluster)) {
	r := &recorder{TB: t}
	synctest.Test(t, func(*testing.T) {
		c := newCluster(r, config)
		defer c.close()
		defer func() {
			if p := recover(); p != nil && p != (ended{}) {
				panic(p)
			}
		}()
		f(c)
	})
	if r.bad {
		rt.Fatal(r.text.String())
	}
}
