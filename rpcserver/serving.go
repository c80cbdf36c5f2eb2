package rpcserver

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/register"
)

// notServingFor is how long a client is told to stay away after a call to what does not
// serve. Then it finds out whether that is over, at the cost of one call that is sent on.
const notServingFor = time.Second

// serving is what does not serve at present. All serves in the beginning.
type serving struct {
	shut atomic.Pointer[map[string]string] // receiver ("": all) -> why; nil: all serves

	mu   sync.Mutex    // guards all below, and changes of shut
	news chan struct{} // closed at each change
}

func (v *serving) init() { v.news = make(chan struct{}) }

// SetServing says whether a receiver, or the whole server (""), serves. All of it does in
// the beginning. While it does not serve:
//
//   - The instances that need it leave DNS: those of services that list the receiver in
//     Config.Needs, or that are not in it. Their registrations go on.
//   - New calls to it are answered with an error that has why, and "not executed":
//     rpcclient sends them elsewhere at once. For a second it sends all its calls elsewhere,
//     also those to other receivers, if it can. Calls that were accepted before go on.
//   - If it is the whole server, the answers to pings say so, and rpcclient sends no calls
//     while another server takes them.
//
// The whole server and a receiver are apart: a receiver serves when neither is set. It is
// an error if there is no such receiver. SetServing does not wait for DNS.
//
// An instance that an operator has drained stays out of DNS when all serves again. One that
// Config.Announce registers with Drain is left as it is for good: also after the program has
// called Undrain of its lease (see [Server.Leases]), SetServing does not take it out of DNS,
// and the program has to. SetServing calls Drain and Undrain of all other leases, so a
// program should not.
func (s *Server) SetServing(receiver string, serving bool, why string) error {
	if receiver != "" && !s.services.has(receiver) {
		return fmt.Errorf("rpcserver: set serving: no receiver %q is registered: call Register first, or give \"\" for the whole server", receiver)
	}
	if why == "" {
		why = "not serving"
	}
	if !s.serving.set(receiver, serving, why) {
		return nil
	}
	what := "the server"
	if receiver != "" {
		what = receiver
	}
	if serving {
		s.log(slog.LevelInfo, what+" serves")
	} else {
		s.log(slog.LevelWarn, what+" does not serve", "why", why)
	}
	return nil
}

// NotServing is what does not serve at present, with the reason; the whole server is "".
func (s *Server) NotServing() map[string]string {
	if shut := s.serving.shut.Load(); shut != nil {
		return maps.Clone(*shut)
	}
	return nil
}

// set reports whether that changed anything but the reason.
func (v *serving) set(receiver string, serves bool, why string) (changed bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	next := map[string]string{}
	if shut := v.shut.Load(); shut != nil {
		maps.Copy(next, *shut)
	}
	_, was := next[receiver]
	if serves {
		delete(next, receiver)
	} else {
		next[receiver] = why
	}
	if len(next) == 0 {
		v.shut.Store(nil)
	} else {
		v.shut.Store(&next)
	}
	if was != serves {
		return false
	}
	close(v.news)
	v.news = make(chan struct{})
	return true
}

// drains reports whether a registration that needs these receivers is to be out of DNS,
// and when to ask again. No receivers mean all.
func (v *serving) drains(needs []string) (drained bool, news <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	shut := v.shut.Load()
	if shut == nil {
		return false, v.news
	}
	_, drained = (*shut)[""]
	for _, r := range needs {
		_, out := (*shut)[r]
		drained = drained || out
	}
	return drained || len(needs) == 0, v.news
}

// why is the reason not to execute a new call of a method; empty: there is none.
func (v *serving) why(method string) string {
	shut := v.shut.Load()
	if shut == nil {
		return ""
	}
	if why, ok := (*shut)[""]; ok {
		return "rpcserver: this server does not serve: " + why
	}
	receiver := method[:max(strings.LastIndexByte(method, '.'), 0)]
	if why, ok := (*shut)[receiver]; ok {
		return "rpcserver: " + receiver + " does not serve: " + why
	}
	return ""
}

// steer keeps a registration in DNS while what it needs serves. It ends with the lease.
func (s *Server) steer(lease *register.Lease, needs []string, drained bool) {
	for {
		want, news := s.serving.drains(needs)
		if want == drained {
			select {
			case <-news:
				continue
			case <-lease.Done():
				return
			}
		}
		ctx, cancel := context.WithCancel(s.ctx)
		go func() {
			defer cancel()
			select {
			case <-news: // it may be the opposite now
			case <-ctx.Done():
			}
		}()
		change := lease.Undrain
		if want {
			change = lease.Drain
		}
		err := change(ctx)
		cancel()
		drained = want // also if it was given up, or refused: the lease tries again, or cannot
		select {
		case <-lease.Done():
			return
		case <-news:
		default:
			if err != nil && s.ctx.Err() == nil {
				what := "the instance is not put into DNS again, although all that it needs serves"
				if want {
					what = "the instance is still in DNS, although it does not serve"
				}
				s.log(slog.LevelError, what, "err", err)
			}
		}
	}
}
