package cluster

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd"
)

func TestHowAServerStarts(t *testing.T) {
	t.Parallel()
	s := dnsd.SharedStore{Name: "c", Dir: "DIR", Peers: []dnsd.Peer{{Name: "a", URL: "u://a"}, {Name: "b", URL: "u://b"}, {Name: "c", URL: "u://c"}}}
	m := func(id uint64, name string, started bool, urls ...string) peerMember {
		p := peerMember{ID: id, Name: name, PeerURLs: urls}
		if started {
			p.ClientURLs = []string{"unix:///" + name}
		}
		return p
	}
	a, b, c := m(1, "a", true, "u://a"), m(2, "b", true, "u://b"), m(3, "c", true, "u://c")
	away := word{url: "u://b", err: context.DeadlineExceeded}
	says := func(from string, cluster uint64, members ...peerMember) word {
		return word{url: "u://" + from, cluster: cluster, members: members}
	}
	const three = "a=u://a,b=u://b,c=u://c"
	for _, tc := range []struct {
		name  string
		id    *identity
		words []word
		want  start
		err   string
	}{
		{"all are away", nil, []word{away, away}, start{initial: three}, ""},
		{"alone", nil, nil, start{initial: three}, ""},
		{"another begins", nil, []word{away, says("a", 7, m(1, "a", false, "u://a"), m(2, "b", false, "u://b"), m(3, "c", false, "u://c"))}, start{initial: three}, ""},
		{"two run, as a majority", nil, []word{says("a", 7, a, b, m(3, "c", false, "u://c"))}, start{initial: three}, ""},
		{"another begins with other peers", nil, []word{says("a", 7, m(1, "a", false, "u://a"), m(3, "c", false, "u://c"))}, start{}, "begins a cluster of other peers, a=u://a,c=u://c: write the same"},
		{"another begins without this peer", nil, []word{says("b", 7, m(1, "a", false, "u://a"), m(2, "b", false, "u://b"))}, start{}, "begins a cluster of other peers, a=u://a,b=u://b: write the same"},
		{"it was named by others that run", nil, []word{says("a", 7, a, m(9, "x", true, "u://x"), m(3, "c", false, "u://c"))}, start{}, "begins a cluster of other peers, a=u://a,c=u://c,x=u://x"},
		{"another begins with names exchanged", nil, []word{says("a", 7, m(1, "b", false, "u://a"), m(2, "a", false, "u://b"), m(3, "c", false, "u://c"))}, start{}, "let a dnsd that began with wrong ones begin again with an empty directory"},
		{"it was added", nil, []word{says("a", 7, a, b, m(3, "", false, "u://c"))}, start{existing: true, initial: three}, ""},
		{"it was added in the place of another", nil, []word{says("a", 7, a, m(9, "x", true, "u://x"), m(3, "", false, "u://c"))}, start{existing: true, initial: "a=u://a,c=u://c,x=u://x"}, ""},
		{"two were added", nil, []word{says("a", 7, a, m(9, "", false, "u://y"), m(3, "", false, "u://c"))}, start{existing: true, initial: "9=u://y,a=u://a,c=u://c"}, ""},
		{"it was not added", nil, []word{says("a", 7, a, b)}, start{}, `a cluster runs at u://a, and does not know u://c: add it first: POST /v1/cluster/members {"name":"c","peer":"u://c"} at another dnsd`},
		{"it was added, and one peer is late", nil, []word{says("a", 7, a, b), says("b", 7, a, b, m(3, "", false, "u://c"))}, start{existing: true, initial: three}, ""},
		{"it was added again, and one peer is late", nil, []word{says("a", 7, a, b, c), says("b", 7, a, b, m(9, "", false, "u://c"))}, start{existing: true, initial: three}, ""},
		{"its disk is lost, and one peer is late", nil, []word{says("a", 7, a, b), says("b", 7, a, b, c)}, start{}, "peer c was part of it, but DIR has no data"},
		{"its disk is lost, and one peer, the first, does not know that it started", nil, []word{says("a", 7, a, b, m(3, "", false, "u://c")), says("b", 7, a, b, c)}, start{}, "peer c was part of it, but DIR has no data"},
		{"its disk is lost, and one peer, the last, does not know that it started", nil, []word{says("a", 7, a, b, c), says("b", 7, a, b, m(3, "", false, "u://c"))}, start{}, "peer c was part of it, but DIR has no data"},
		{"its disk is lost, and the first peer knows it from the lines peer", nil, []word{says("a", 7, a, b, m(3, "c", false, "u://c")), says("b", 7, a, b, c)}, start{}, "peer c was part of it, but DIR has no data"},
		{"it was added again, and the last peer is late", nil, []word{says("b", 7, a, b, m(9, "", false, "u://c")), says("a", 7, a, b, c)}, start{existing: true, initial: three}, ""},
		{"its disk is lost", nil, []word{says("a", 7, a, b, c)}, start{}, "peer c was part of it, but DIR has no data"},
		{"its name is elsewhere", nil, []word{says("a", 7, a, m(3, "c", true, "u://z"))}, start{}, "its peer c is at u://z, not at u://c"},
		{"its name is elsewhere, too", nil, []word{says("a", 7, a, m(4, "c", true, "u://z"), m(3, "", false, "u://c"))}, start{}, "its peer c is at u://z, not at u://c"},
		{"its place has another name", nil, []word{says("a", 7, a, m(3, "d", true, "u://c"))}, start{}, "its peer at u://c is d, not c"},
		{"two clusters run", nil, []word{says("a", 7, a, b, c), says("b", 8, a, b, c)}, start{}, "the servers at u://a and u://b are of different clusters"},
		{"a peer is none", nil, []word{away, {url: "u://a", err: &badPeer{errors.New("a web server")}}}, start{}, "whether a cluster runs is not known: u://a: a web server"},
		{"a peer is none, and another is one", nil, []word{{url: "u://a", err: &badPeer{errors.New("a web server")}}, says("b", 7, a, b, m(3, "", false, "u://c"))}, start{existing: true, initial: three}, ""},

		{"restart, all are away", &identity{7, 3, []peerMember{a, b, c}}, []word{away}, start{initial: three}, ""},
		{"restart before it knew anything", &identity{7, 3, nil}, []word{away}, start{initial: three}, ""},
		{"restart", &identity{7, 3, []peerMember{a, b, c}}, []word{says("a", 7, a, b, c)}, start{initial: three}, ""},
		{"restart before it was published", &identity{7, 3, []peerMember{m(3, "", false, "u://c")}}, []word{away}, start{initial: three}, ""},
		{"restart of another's data", &identity{7, 2, []peerMember{a, b, c}}, []word{away}, start{}, "DIR has the data of peer b, and this is peer c"},
		{"restart of another's data, as the others know", &identity{7, 2, nil}, []word{says("a", 7, a, b, c)}, start{}, "DIR has the data of peer b, and this is peer c"},
		{"restart at another URL", &identity{7, 3, []peerMember{m(3, "c", true, "u://z")}}, []word{away}, start{}, "the other servers reach peer c at u://z, and not at u://c"},
		{"restart after its URL was changed", &identity{7, 3, []peerMember{m(3, "c", true, "u://z")}}, []word{says("a", 7, a, b, c)}, start{initial: three}, ""},
		{"restart in another cluster", &identity{8, 3, []peerMember{a, b, c}}, []word{says("a", 7, a, b, c)}, start{}, "DIR has the data of another cluster than the one that runs at u://a"},
		{"restart after it was removed", &identity{7, 3, []peerMember{a, b, c}}, []word{says("a", 7, a, b)}, start{}, "was removed from the cluster that runs at u://a: to let it join again, move DIR away and add it first"},
		{"restart, and one peer is late", &identity{7, 3, []peerMember{a, b, c}}, []word{says("a", 7, a, b), says("b", 7, a, b, c)}, start{initial: three}, ""},
		{"restart beside what is no peer", &identity{7, 3, []peerMember{a, b, c}}, []word{{url: "u://a", err: &badPeer{errors.New("a web server")}}}, start{initial: three}, ""},
	} {
		got, err := plan(s, tc.id, tc.words)
		if got != tc.want && tc.err == "" || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %+v, %v, want %+v, %q", tc.name, got, err, tc.want, tc.err)
		}
	}
}
