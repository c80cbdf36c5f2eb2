package conn

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
)

// TestGreetSaysWhatTheServerSpeaks instead of net/rpc.
func TestGreetSaysWhatTheServerSpeaks(t *testing.T) {
	for said, want := range map[string]string{
		"\x15\x03\x01\x00\x02\x02\x46":     "the server speaks TLS",
		"HTTP/1.1 400 Bad Request\r\n\r\n": "the server speaks HTTP",
		`{"id":1,"result":null}`:           "the server seems to speak JSON",
		"":                                 "no answer within Config.Conn.PingTimeout",
	} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer theirs.Close()
			go func() {
				theirs.Read(make([]byte, 4096))
				theirs.Write([]byte(said))
			}()
			c := NewSet(testConfig()).Start(ours, nobody{})
			err := c.Greet(t.Context())
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", said, err, want)
			}
			c.Fail(errTest)
			c.Wait()
		})
	}
}
