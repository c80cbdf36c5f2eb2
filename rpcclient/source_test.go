package rpcclient

import (
	"context"
	"errors"
	"iter"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

type sourceFunc func(yield func(resolver.State) bool, ctx context.Context)

func (f sourceFunc) Watch(ctx context.Context, _ string) iter.Seq[resolver.State] {
	return func(yield func(resolver.State) bool) { f(yield, ctx) }
}

func TestSourceThatEndsOrPanicsIsAskedAgainAndItsListIsStale(t *testing.T) {
	for name, end := range map[string]func(){"ends": func() {}, "panics": func() { panic("no") }} {
		synctest.Test(t, func(t *testing.T) {
			var asked []time.Time
			f := newFakeNet(map[string]func(net.Conn){"a:1": stock(&Arith{})})
			c := fakeClient(t, f, Config{Source: sourceFunc(func(yield func(resolver.State) bool, ctx context.Context) {
				asked = append(asked, time.Now())
				if len(asked) == 1 {
					yield(resolver.State{Endpoints: []resolver.Endpoint{{Addr: "a:1"}}, Confirmed: time.Now(), TTL: time.Second})
				}
				end()
			})})
			time.Sleep(time.Minute)
			synctest.Wait()
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
				t.Error(name, err)
			}
			if text := c.page(time.Now()).Names.Error; text != errSourceEnded.Error() {
				t.Errorf("%s: the page says %q", name, text)
			}
			c.Close()
			if n := len(asked); n < 10 || n > 20 {
				t.Errorf("%s: asked %d times in a minute", name, n)
			}
		})
	}
}

func TestUnknownServiceFailsAtOnceAndSaysWhatCameBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &announcer{make(chan resolver.State, 10)}
		cause := &resolver.Error{Name: "_math._tcp.svc.", Type: "SRV", Server: "127.0.0.1:5300", Rcode: "NXDOMAIN", Err: resolver.ErrNoSuchName}
		a.states <- resolver.State{Err: cause, Confirmed: time.Now()}
		c := fakeClient(t, newFakeNet(nil), Config{Source: a})
		defer c.Close()
		begin := time.Now()
		err := c.Call(t.Context(), "Arith.Multiply", &Args{}, nil)
		if !errors.Is(err, ErrNoNodes) || !errors.Is(err, resolver.ErrNoSuchName) || time.Since(begin) > 0 {
			t.Fatal(time.Since(begin), err)
		}
		for _, want := range []string{"_math._tcp.svc", "127.0.0.1:5300", "NXDOMAIN"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q lacks %q", err, want)
			}
		}
		// When it is announced later, calls succeed.
		f := newFakeNet(map[string]func(net.Conn){"good:1": stock(&Arith{})})
		c.cfg.Conn.Dial = f.dial
		a.say("good:1")
		synctest.Wait()
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{}, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestCallWaitsForTheFirstAnswerOfTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"good:1": stock(&Arith{})})
		a := &announcer{make(chan resolver.State, 10)}
		c := fakeClient(t, f, Config{Source: a})
		defer c.Close()
		time.AfterFunc(2*time.Second, func() { a.say("good:1") })
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{}, nil); err != nil {
			t.Error(err)
		}
	})
}
