package nameserver

import (
	"fmt"
	"testing"
	"time"
)

// TestOPTHasTheLengthThatWasKeptFree: the answer before it is cut by optLength.
func TestOPTHasTheLengthThatWasKeptFree(t *testing.T) {
	for i := range 1 << 6 {
		has := func(bit int) bool { return i>>bit&1 == 1 }
		var set settings
		q, x := query{edns: has(0), nsid: has(1)}, noExtra
		if has(2) {
			set.nsid = []byte("ns1")
		}
		if has(3) {
			x.cookie = make([]byte, clientCookieLen+serverCookieLen)
		}
		if has(4) {
			x.keepalive = time.Second
		}
		if has(5) {
			x.ede, x.edeText = 0, fmt.Sprint("text ", i)
		}
		if got, want := set.optLength(&q, &x), len(set.appendOPT(nil, &q, &x)); got != want {
			t.Errorf("%+v %+v: %d octets kept free, %d appended", q, x, got, want)
		}
	}
}
