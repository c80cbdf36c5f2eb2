package hook

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestAuditHasOneLineAWrite(t *testing.T) {
	h := start(t, func(c *Config, _ *registry.Config) {
		c.Tokens = []Token{{Name: "ci", Secret: "s3cret", Verbs: []Verb{Admin}, Services: []string{"*"}}}
	})
	auth := []string{"Authorization", "Bearer s3cret"}
	h.do("PUT", a1, `{"port":1}`, auth...)
	h.do("PUT", a1, `{"port":1}`, auth...)
	h.do("PUT", a1, `{"port":2,"incarnation":2}`, auth...)
	h.do("PUT", a1, `{"port":2,"incarnation":1}`, auth...)
	h.do("GET", a1, "", auth...)
	h.do("PUT", a1+"/drain", "", auth...)
	h.do("POST", "/v1/renew", `{"instances":["_math._tcp/a1"]}`, auth...)
	h.do("DELETE", a1, "", "Authorization", "Bearer wrong")
	h.do("DELETE", a1, "", auth...)
	want := []string{
		`level=INFO msg="hook write" who="ci at 127.0.0.1" what=register object=_math._tcp/a1 host=127.0.0.1:1 result=created status=201 revision=1`,
		`level=DEBUG msg="hook write" who="ci at 127.0.0.1" what=register object=_math._tcp/a1 host=127.0.0.1:1 result=renewed status=200 revision=1`,
		`level=INFO msg="hook write" who="ci at 127.0.0.1" what=register object=_math._tcp/a1 host=127.0.0.1:2 result=changed status=200 revision=2`,
		`level=WARN msg="hook write" who="ci at 127.0.0.1" what=register object=_math._tcp/a1 host=127.0.0.1:2 result=conflict status=409 revision=0 reason="incarnation 2 is registered`,
		`level=INFO msg="hook write" who="ci at 127.0.0.1" what=drain object=_math._tcp/a1 result=drained status=200 revision=3`,
		`level=DEBUG msg="hook write" who="ci at 127.0.0.1" what=renew object="1 instances" result="renewed 1, unknown 0" status=200 revision=3`,
		`level=WARN msg="hook write" who=127.0.0.1 what=deregister object=_math._tcp/a1 result=unauthorized status=401`,
		`level=INFO msg="hook write" who="ci at 127.0.0.1" what=deregister object=_math._tcp/a1 result=deregistered status=204 revision=4`,
	}
	// A line is written after its answer.
	eventually(t, "all lines", func() bool { return strings.Count(h.audit.String(), "\n") >= len(want) })
	got := strings.Split(strings.TrimSpace(h.audit.String()), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d lines:\n%s", len(got), h.audit)
	}
	for _, w := range want {
		if !strings.Contains(h.audit.String(), w) {
			t.Errorf("missing %s\nin\n%s", w, h.audit)
		}
	}
}

func TestTokensAreNeverLogged(t *testing.T) {
	const secret = "s3cret-s3cret"
	log := &lines{}
	h := start(t, func(c *Config, _ *registry.Config) {
		c.Tokens = []Token{{Secret: secret, Verbs: []Verb{Read}, Services: []string{"*"}}}
		c.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.Ready = func() error { panic("no " + "readiness") }
	})
	for _, header := range []string{"Bearer " + secret, secret, "Basic " + secret, "Bearer  " + secret, "Bearer " + secret + "x"} {
		for _, req := range [][2]string{{"GET", "/v1/services"}, {"PUT", a1}, {"GET", "/readyz"}, {"GET", "/metrics"}} {
			a := h.do(req[0], req[1], "", "Authorization", header)
			if bytes.Contains(a.body, []byte(secret)) {
				t.Errorf("answered: %s", a.body)
			}
		}
	}
	if a := h.do("GET", "/readyz", ""); a.problem(t).Status != 500 || bytes.Contains(a.body, []byte("readiness")) {
		t.Errorf("a panic is %d %s", a.status, a.body)
	}
	h.Close()
	for _, text := range []string{log.String(), h.audit.String()} {
		if text == "" || strings.Contains(text, secret) {
			t.Errorf("logged:\n%s", text)
		}
	}
}
