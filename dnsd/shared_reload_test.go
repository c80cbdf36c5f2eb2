package dnsd

import (
	"strings"
	"testing"
	"time"
)

// TestReloadCannotChangeASharedStore: whatever a reload would change of it is named, and
// nothing of it changes.
func TestReloadCannotChangeASharedStore(t *testing.T) {
	zone := func(change func(*Zone)) Zone {
		t.Helper()
		z := Zone{Origins: []string{"svc.", "svc.example."}, Store: Store{Kind: "cluster", Shared: &SharedStore{
			Dir: "d", Name: "a", Insecure: true, Listen: "127.0.0.1:9000",
			Peers: []Peer{{"a", "http://10.0.0.1:2380"}, {"b", "http://10.0.0.2:2380"}},
		}}}
		change(&z)
		w, err := Config{Zones: []Zone{z}, Stores: noStores{}}.checked()
		if err != nil {
			t.Fatal(err)
		}
		return w.Zones[0]
	}
	b := &block{cfg: zone(func(*Zone) {})}
	for want, change := range map[string]func(*Zone){
		"a reload cannot change the first zone of a shared store from svc. to svc.example.; restart this dnsd": func(z *Zone) { z.Origins = z.Origins[1:]; z.Store.Shared.Prefix = "/rollcall/svc" },
		"store: a reload cannot change it from cluster to etcd; restart this dnsd": func(z *Zone) {
			z.Store = Store{Kind: "etcd", Shared: &SharedStore{Endpoints: []string{"https://10.0.0.1:2379"}, Name: "a"}}
		},
		"store: a reload cannot change it from d to e; restart this dnsd":                                              func(z *Zone) { z.Store.Shared.Dir, z.Store.Shared.Cache = "e", "d/copy.db" },
		"store prefix: a reload cannot change it from /rollcall/svc to /x; restart this dnsd":                          func(z *Zone) { z.Store.Shared.Prefix = "/x" },
		"store name: a reload cannot change it from a to b; restart this dnsd":                                         func(z *Zone) { z.Store.Shared.Name = "b" },
		"store peer: a reload cannot change it from http://10.0.0.1:2380 to http://10.0.0.3:2380; restart this dnsd":   func(z *Zone) { z.Store.Shared.Peers[0].URL = "http://10.0.0.3:2380" },
		"store session: a reload cannot change it from 5s to 6s; restart this dnsd":                                    func(z *Zone) { z.Store.Shared.Session = 6 * time.Second },
		"store listen: a reload cannot change it from 127.0.0.1:9000 to 10.0.0.1:8054; restart this dnsd":              func(z *Zone) { z.Store.Shared.Listen = "" },
		"store advertise: a reload cannot change it from an address of this host to a.example:8054; restart this dnsd": func(z *Zone) { z.Store.Shared.Advertise = "a.example:8054" },
		"store cache: a reload cannot change it from d/copy.db to off; restart this dnsd":                              func(z *Zone) { z.Store.Shared.Cache = "off" },
		"hook: the other dnsd have the URL of this hook, so a reload cannot change it; restart this dnsd":              func(z *Zone) { z.Hook.Addr = "127.0.0.1:9999" },
		"a reload cannot change the first zone of a shared store from svc. to srv.; restart this dnsd":                 func(z *Zone) { z.Origins = []string{"srv."} },
	} {
		if same, err := b.sameShared(zone(change)); same || err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	for name, c := range map[string]struct {
		change func(*Zone)
		same   bool
	}{
		"nothing changes":      {func(*Zone) {}, true},
		"another peer joins":   {func(z *Zone) { z.Store.Shared.Peers = append(z.Store.Shared.Peers, Peer{"c", "http://10.0.0.3:2380"}) }, true},
		"one zone less":        {func(z *Zone) { z.Origins = z.Origins[:1] }, true},
		"other zone, own keys": {func(z *Zone) { z.Origins = []string{"srv."}; z.Store.Shared.Dir = "e" }, false},
		"to memory":            {func(z *Zone) { z.Store = Store{} }, false},
	} {
		if same, err := b.sameShared(zone(c.change)); err != nil || same != c.same {
			t.Errorf("%s: %t %v", name, same, err)
		}
	}
}
