package integrations

import (
	"flag"
	"os"
	"testing"
)

// The tests of this package wait for other programs most of the time, so all of them run at
// once, however few processors there are.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
