package resolver

import "testing"

// Followed is a service of three instances that a fake server tells about, for tests of what
// is built on this package.
type Followed struct {
	*Resolver
	become func(n int)
	cut    func()
	lose   func()
}

// NewFollowed makes one. Its name is "_math._tcp.svc".
func NewFollowed(t testing.TB) *Followed {
	p, s, r := following(t, 3)
	return &Followed{
		Resolver: r,
		become:   func(n int) { p.become(mathTCP, instances(t, n)...) },
		cut:      p.cut,
		lose: func() {
			s.become(silence)
			p.mu.Lock()
			p.hello = func(uint16) [][]byte { return nil }
			p.mu.Unlock()
			p.cut()
		},
	}
}

// Become changes the number of instances.
func (f *Followed) Become(n int) { f.become(n) }

// Cut ends the session. The next one confirms what the last one told.
func (f *Followed) Cut() { f.cut() }

// Lose ends the session, and the server is silent from then on.
func (f *Followed) Lose() { f.lose() }
