package cluster

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

func TestAnEtcdThatIsTooOldIsRefused(t *testing.T) {
	for version, says := range map[string]string{
		"3.3.27": `it is version "3.3.27"; 3.4 is the oldest that works: upgrade etcd`,
		"2.3.8":  `it is version "2.3.8"`,
		"nginx":  `it is version "nginx"`,
		"3.4.0":  "",
		"3.10.1": "",
		"4.0.0":  "",
	} {
		f := (&fake{version: version}).start(t)
		s, err := Stores{}.Open(t.Context(), dnsd.SharedStore{Endpoints: []string{f.url}}, testLog(t))
		if err == nil {
			s.Close()
		}
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), f.url)) {
			t.Errorf("version %q: the error is %v, want one with %q", version, err, says)
		}
	}
}

// TestAnOldEtcdThatAppearsLaterIsNotUsed: it was away when the store was opened.
func TestAnOldEtcdThatAppearsLaterIsNotUsed(t *testing.T) {
	f := (&fake{version: "3.3.27"}).start(t)
	p := startProxy(t, host(f.url))
	p.set(true)
	f.url = "http://" + p.Addr().String()
	s := f.open(t)
	p.set(false)
	var err error
	await(t, func() bool {
		_, _, err = s.Get(t.Context(), "a")
		return strings.Contains(err.Error(), "3.3.27")
	})
	if !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
	if _, err := s.Txn(t.Context(), put("a", "1")); !errors.Is(err, kv.ErrUnavailable) || !strings.Contains(err.Error(), "3.3.27") {
		t.Errorf("the error of a write is %v", err)
	}
}

func TestAnEtcdThatIsAwayIsLoggedAndIsNoError(t *testing.T) {
	var log bytes.Buffer
	s, err := Stores{}.Open(t.Context(), dnsd.SharedStore{Endpoints: []string{"http://" + freeaddr.Take(1)[0].String()}},
		slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if line := log.String(); strings.Count(line, "\n") != 1 || !strings.Contains(line, "level=ERROR") || !strings.Contains(line, "connection refused") {
		t.Errorf("the log is %s", line)
	}
	if _, _, err := s.Get(t.Context(), "a"); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Stores{}).Open(ctx, dnsd.SharedStore{Endpoints: []string{"http://127.0.0.1:1"}}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

func TestEndpointsThatAreWrong(t *testing.T) {
	for _, endpoints := range [][]string{nil, {"10.0.0.1:2379"}, {"ftp://10.0.0.1:2379"}, {"https://"}, {"http://[::1"}} {
		if _, err := (Stores{}).Open(t.Context(), dnsd.SharedStore{Endpoints: endpoints}, nil); err == nil || !strings.Contains(err.Error(), "https://10.0.0.1:2379") {
			t.Errorf("%q: the error is %v", endpoints, err)
		}
	}
}
