package dnsd

import (
	"time"

	"github.com/rollcall-dns/rollcall/internal/nearest"
)

// storeKinds are the words after store.
var storeKinds = []string{"memory", "bolt", "etcd", "cluster"}

// insideStore are the lines in the braces of store etcd and of store cluster.
var insideStore = map[string]directive{
	"prefix":    sharedWord(func(s *SharedStore) *string { return &s.Prefix }, "what all keys begin with, as in: prefix /rollcall/svc"),
	"tls":       {read: readStoreTLS},
	"insecure":  {read: readStoreInsecure},
	"user":      {read: readUser},
	"peer":      {repeats: true, read: readPeer},
	"session":   duration(func(z *Zone) *time.Duration { return &z.Store.Shared.Session }),
	"name":      sharedWord(func(s *SharedStore) *string { return &s.Name }, "the name of this dnsd, as in: name a"),
	"listen":    sharedWord(func(s *SharedStore) *string { return &s.Listen }, "an address for the other dnsd, as in: listen 10.0.0.1:8054"),
	"advertise": sharedWord(func(s *SharedStore) *string { return &s.Advertise }, "the address that the other dnsd use, as in: advertise 10.0.0.1:8054"),
	"cache":     {read: readCache},
}

// sharedWord is a directive with one word.
func sharedWord(field func(*SharedStore) *string, expected string) directive {
	return directive{read: func(r *reader, l line) error {
		*field(r.zone.Store.Shared) = l.args[len(l.args)-1]
		return l.want(1, expected)
	}}
}

func readStore(r *reader, l line) error {
	kind := ""
	if len(l.args) > 1 {
		kind = l.args[1]
	}
	switch words := l.args[min(2, len(l.args)):]; {
	case kind == "memory" && len(words) == 0:
		r.zone.Store = Store{Kind: kind}
	case kind == "bolt" && len(words) == 1:
		r.zone.Store = Store{Kind: kind, Path: r.path(words[0])}
	case kind == "etcd" && len(words) > 0:
		r.zone.Store = Store{Kind: kind, Shared: &SharedStore{Endpoints: words}}
		for i := range words {
			r.places.mark(l, "store", i)
		}
	case kind == "cluster" && len(words) == 1:
		r.zone.Store = Store{Kind: kind, Shared: &SharedStore{Dir: r.path(words[0])}}
	case kind == "etcd":
		return l.errorf("expected the URLs of etcd, as in: store etcd https://10.0.0.1:2379 https://10.0.0.2:2379")
	case kind == "cluster":
		return l.errorf("expected a folder, and a { } block with peers, as in: store cluster data/svc {")
	default:
		if near, ok := nearest.Word(kind, storeKinds); ok && near != kind {
			return l.errorf("unknown kind %q; did you mean %q?", kind, near)
		}
		return l.errorf("expected memory, bolt PATH, etcd URL... or cluster DIR, as in: store bolt data/svc.db")
	}
	if l.open && r.zone.Store.Shared == nil {
		return l.errorf("%s does not take a { } block", kind)
	}
	return nil
}

// readStoreTLS reads: tls CERT KEY CA, or tls CA.
func readStoreTLS(r *reader, l line) error {
	s := r.zone.Store.Shared
	switch len(l.args) {
	case 2:
		s.CA = r.path(l.args[1])
	case 4:
		s.TLS, s.CA = TLS{Cert: r.path(l.args[1]), Key: r.path(l.args[2])}, r.path(l.args[3])
	default:
		return l.errorf("expected files, as in: tls CERT KEY CA, or tls CA if etcd asks for no certificate")
	}
	return nil
}

func readStoreInsecure(r *reader, l line) error {
	r.zone.Store.Shared.Insecure = true
	return l.want(0, "no word after it")
}

// readUser reads: user NAME file PATH. No error repeats a word that may be the password.
func readUser(r *reader, l line) error {
	if len(l.args) != 4 || l.args[2] != "file" {
		return l.errorf("expected a name and the file of the password, as in: user rollcall file /etc/dnsd/etcd.password")
	}
	r.zone.Store.Shared.User, r.zone.Store.Shared.PasswordFile = l.args[1], r.path(l.args[3])
	return nil
}

func readPeer(r *reader, l line) error {
	if err := l.want(2, "a name and the URL of its server, as in: peer a https://10.0.0.1:2380"); err != nil {
		return err
	}
	peers := &r.zone.Store.Shared.Peers
	r.places.mark(l, "store peer", len(*peers))
	*peers = append(*peers, Peer{Name: l.args[1], URL: l.args[2]})
	return nil
}

func readCache(r *reader, l line) error {
	if err := l.want(1, "a file or off, as in: cache data/svc.copy"); err != nil {
		return err
	}
	r.zone.Store.Shared.Cache = l.args[1]
	if l.args[1] != cacheOff {
		r.zone.Store.Shared.Cache = r.path(l.args[1])
	}
	return nil
}

// Tests: directives_test.go, shared_test.go, hidden_test.go.
