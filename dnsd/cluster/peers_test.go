package cluster

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
)

func TestWhatAPeerAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		cluster, body string
		status        int
		says          string // empty: good
	}{
		"good":          {"ab", `[{"id":18446744073709551615,"peerURLs":["u"],"name":"a","clientURLs":["c"]}]`, 200, ""},
		"no cluster":    {"", `[{"id":1}]`, 200, "the id of its cluster"},
		"bad cluster":   {"xyz", `[{"id":1}]`, 200, "the id of its cluster"},
		"no members":    {"ab", `[]`, 200, "its list of members is empty"},
		"no list":       {"ab", `{"id":1}`, 200, "its list of members"},
		"another page":  {"ab", `<html>`, 200, "its list of members"},
		"not found":     {"ab", `[{"id":1}]`, 404, "it answers with status 404 Not Found"},
		"moved":         {"ab", `[{"id":1}]`, 302, "it answers with status 302 Found"},
		"without end":   {"ab", `[` + strings.Repeat(" ", 2*maxMembers) + `]`, 200, "its list of members"},
		"a huge header": {strings.Repeat("1", 1<<20), ``, 200, "it does not answer as a server of etcd does"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/members" {
				t.Errorf("%s: the path is %s", name, r.URL.Path)
			}
			w.Header().Set("X-Etcd-Cluster-ID", tc.cluster)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tc.status)
			w.Write([]byte(tc.body))
		}))
		cluster, members, err := newPeersClient(nil).members(t.Context(), s.URL)
		var bad *badPeer
		switch {
		case tc.says == "" && (err != nil || cluster != 0xab || len(members) != 1 || members[0].ID != 1<<64-1 || members[0].Name != "a"):
			t.Errorf("%s: %x, %+v, %v", name, cluster, members, err)
		case tc.says != "" && (!errors.As(err, &bad) || !strings.Contains(err.Error(), tc.says)):
			t.Errorf("%s: the error is %v, want one with %q", name, err, tc.says)
		}
		s.Close()
	}
}

// TestAPeerThatIsAwayIsNotBad: it does not take a connection, or takes it and hangs.
func TestAPeerThatIsAwayIsNotBad(t *testing.T) {
	t.Parallel()
	hangs, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	s := dnsd.SharedStore{Name: "a", Peers: []dnsd.Peer{{Name: "a", URL: "http://127.0.0.1:2"}, {Name: "b", URL: "http://127.0.0.1:1"}, {Name: "c", URL: "http://" + hangs.Addr().String()}}}
	began := time.Now()
	words := newPeersClient(nil).ask(t.Context(), s)
	if d := time.Since(began); d > 10*askTime {
		t.Errorf("it took %v", d)
	}
	if len(words) != 2 {
		t.Fatalf("%+v", words)
	}
	for _, w := range words {
		if bad := (*badPeer)(nil); w.err == nil || errors.As(w.err, &bad) {
			t.Errorf("%s: %v", w.url, w.err)
		}
	}
}

// TestAPeerThatDoesNotAcceptTheCertificate says so, for sure: with TLS 1.3 after the
// handshake of this end is over.
func TestAPeerThatDoesNotAcceptTheCertificate(t *testing.T) {
	ca, other := newAuthority(t, "cluster"), newAuthority(t, "other")
	g := newGroup(t, 2, ca)
	g.start("a")
	foreign := other.issue()
	conf, err := clientTLS(foreign.cert, foreign.key, ca.file)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		_, _, err := newPeersClient(conf).members(t.Context(), g.base.Peers[0].URL)
		if bad := (*badPeer)(nil); !errors.As(err, &bad) || !strings.Contains(err.Error(), "tls: it does not accept this certificate") {
			t.Fatalf("the error is %v", err)
		}
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	_, _, err = newPeersClient(&tls.Config{}).members(t.Context(), strings.Replace(plain.URL, "http", "https", 1))
	if bad := (*badPeer)(nil); !errors.As(err, &bad) || !strings.Contains(err.Error(), "is the URL's scheme right? (Get") {
		t.Errorf("the error is %v", err)
	}
}
