package dnsd

import (
	"strings"
	"testing"
)

// FuzzServerURL: a URL that is taken has one spelling, which is taken as well, and an error
// shows no password.
func FuzzServerURL(f *testing.F) {
	for _, s := range []string{
		"https://10.0.0.1:2379", "http://[::1]:2379/", "HTTPS://Etcd.Example:02379", "https://[::ffff:10.0.0.1]:1", "https://[fe80::1%25eth0]:1",
		"https://root:secret@10.0.0.1:2379", "10.0.0.1:2379", "https://10.0.0.1", "https://10.0.0.1:0", "https://10.0.0.1:65536", "https://a b:1", "https://:1", "https://a:1?b", "https://a:1#b", "https://a..b:1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := parseServerURL(text, exampleEtcd)
		if err != nil {
			if strings.Contains(text, "@") && len(text) > 20 && strings.Contains(err.Error(), text) {
				t.Errorf("%q: the error shows it: %v", text, err)
			}
			return
		}
		again, err := parseServerURL(u.String(), examplePeer)
		if err != nil || again != u {
			t.Errorf("%q is %s, and that is %v %v", text, u, again, err)
		}
		if strings.ContainsAny(u.String(), "@ ,=\n") {
			t.Errorf("%q is %q", text, u.String())
		}
	})
}
