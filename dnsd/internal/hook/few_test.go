package hook

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// Strangers send a thousand writes a second for ten minutes. Each minute has ten lines
// and one with the count of the others; writes with a token have all their lines.
func TestRefusalsOfStrangersFillNoDisk(t *testing.T) {
	for _, secured := range []bool{true, false} {
		t.Run(fmt.Sprintf("secured=%v", secured), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				h := startOn(t, p, func(c *Config, _ *registry.Config) {
					if secured {
						c.Tokens = []Token{{Name: "ci", Secret: "s", Verbs: []Verb{Write}, Services: []string{"*"}}}
					}
				})
				g := p.guest(t, net.IPv4(192, 0, 2, 66))
				own := p.guest(t, net.IPv4(192, 0, 2, 7))
				const minutes, each = 10, 300
				for range minutes {
					for range each {
						if got := g.ask("PUT", a1, `{"port":0}`, ""); got != 401 && got != 400 {
							t.Fatal(got)
						}
					}
					if secured {
						own.ask("PUT", a1, `{"port":0}`, "s")
					}
					time.Sleep(fewWindow) // of fake time
					synctest.Wait()
				}
				text := h.audit.String()
				if n := strings.Count(text, "who=192.0.2.66 "); n != minutes*fewLines {
					t.Errorf("%d lines, want %d", n, minutes*fewLines)
				}
				if n := strings.Count(text, fmt.Sprintf(`msg="hook writes refused" more=%d `, each-fewLines)); n != minutes {
					t.Errorf("%d counts in\n%s", n, text)
				}
				if n := strings.Count(text, `who="ci at 192.0.2.7"`); secured && n != minutes {
					t.Errorf("%d lines of the token, want %d", n, minutes)
				}
			})
		})
	}
}

// Close writes the count of the lines that were not written.
func TestCountOfRefusalsIsWrittenAtTheEnd(t *testing.T) {
	h := start(t, nil)
	for range fewLines + 7 {
		h.do("PUT", a1, `{}`)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(h.audit.String(), `msg="hook writes refused" more=7`) {
		t.Error(h.audit.String())
	}
}

// A broken store fails every write; the log has the cause a few times.
func TestBrokenStoreFillsNoLog(t *testing.T) {
	var log lines
	h := start(t, func(c *Config, r *registry.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		r.Backend = brokenDisk{registry.Memory()}
	})
	for range 100 {
		if a := h.do("PUT", a1, `{"port":1}`); a.status != 503 || !strings.Contains(a.problem(t).Detail, "cannot be stored") {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if n := strings.Count(log.String(), "input/output error"); n > fewLines {
		t.Errorf("%d lines", n)
	}
}

type brokenDisk struct{ registry.Backend }

func (brokenDisk) Commit(*registry.Batch) error { return errors.New("input/output error") }
