package testenv_test

import (
	"fmt"
	"testing"

	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/testenv"
)

// A test with three dnsd: the one that writes is killed, and registrations go on.
func ExampleEnv_KillDNSD() {
	survivesTheWriter := func(t testing.TB) {
		env := testenv.New(t, testenv.Setup{DNSDs: 3, Nodes: 2})
		writer := env.Writer()
		env.Break(testenv.HookLink(0), testenv.Cut) // nodes have to go to another dnsd
		env.KillDNSD(writer)
		if next := env.Writer(writer); next == writer {
			t.Errorf("dnsd %d is dead, and is the writer", next)
		}
		env.Break(testenv.HookLink(0), testenv.Whole)
		env.StartDNSD(writer)
		env.AddNode()
		env.AwaitNodes()
	}

	result := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			survivesTheWriter(b)
		}
	})
	fmt.Println(result.N > 0)
	// Output: true
}

// A test of a program that uses Rollcall: a server dies, and its caller does not
// notice.
func Example() {
	survivesAKill := func(t testing.TB) {
		env := testenv.New(t, testenv.Setup{Nodes: 2})
		client := env.Client(&rpcclient.Config{
			Methods: map[string]rpcclient.Method{"Arith.Multiply": {Idempotent: true}},
		})
		env.Fault(0, testenv.Kill)
		for range 10 {
			product, err := rpcclient.Invoke[int](t.Context(), client, "Arith.Multiply", &testenv.Args{A: 6, B: 7})
			if err != nil || product != 42 {
				t.Errorf("got %d, %v", product, err)
			}
		}
	}

	// In your own package this is func TestSurvivesAKill(t *testing.T), and go test
	// runs it. Here, testing.Benchmark lends an example something to test with.
	result := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			survivesAKill(b)
		}
	})
	fmt.Println(result.N > 0)
	// Output: true
}
