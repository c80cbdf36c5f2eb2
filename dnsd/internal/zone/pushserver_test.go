package zone

import (
	"errors"
	"testing"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
)

func TestPushServerIsFound(t *testing.T) {
	for _, cfg := range []Config{testConfig(), reverseConfig("10.in-addr.arpa.")} {
		cfg.Push = PushServer{"DNS.example.", 853}
		z, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		name := "_dns-push-tls._tcp." + z.Origin()
		a := z.Lookup(name, dns.TypeSRV)
		if len(a.Answer) != 1 || a.Answer[0].String() != name+"\t5\tIN\tSRV\t0 0 853 dns.example." {
			t.Errorf("%v", a.Answer)
		}
		for _, qtype := range []uint16{dns.TypeSRV, dns.TypeTXT, dns.TypeANY} { // the ready answers have it, too
			if !compare(t, z, wireName(name), qtype, 512, maxMessage) {
				t.Errorf("%s %d has no ready answer", name, qtype)
			}
		}
		compare(t, z, wireName("_tcp."+z.Origin()), dns.TypeSRV, 512, maxMessage)
		if a := z.Lookup("_tcp."+z.Origin(), dns.TypeSRV); a.Rcode != dns.RcodeSuccess || len(a.Answer) != 0 {
			t.Errorf("the name above: %+v", a)
		}
		if rrs := z.View().Set(name, dns.TypeSRV); len(rrs) != 1 {
			t.Errorf("in a view: %v", rrs)
		}
		found := false
		_, records := z.Transfer()
		for rr := range records {
			found = found || rr.Header().Name == name
		}
		if !found {
			t.Error("it is not transferred")
		}
	}
}

// TestPushServerIsNoService: nothing can be registered under its name.
func TestPushServerIsNoService(t *testing.T) {
	cfg := testConfig()
	key := registry.Key{Service: pushService, ID: "a1"}
	free, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := free.CheckInstance(key, "10.0.0.7"); err != nil {
		t.Errorf("without a push server: %v", err)
	}
	cfg.Push = PushServer{"dns.example.", 853}
	z, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var bad *registry.FieldError
	if err := z.CheckInstance(key, "10.0.0.7"); !errors.As(err, &bad) || bad.Field != "service" {
		t.Errorf("got %v", err)
	}
	in := parseInstance(t, pushService+"/a1 10.0.0.7:80")
	if z.publishable(in) || !free.publishable(in) {
		t.Error("it is published beside the record of the push server")
	}
}

func TestPushServerIsChecked(t *testing.T) {
	for _, p := range []PushServer{{"dns.example", 853}, {"dns.example.", 0}, {"a b.", 853}, {"", 853}} {
		cfg := testConfig()
		cfg.Push = p
		var bad *setting.Error
		if err := Check(cfg); !errors.As(err, &bad) || bad.Field != "Push" {
			t.Errorf("%+v: %v", p, err)
		}
	}
}
