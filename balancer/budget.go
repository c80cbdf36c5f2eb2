package balancer

import (
	"fmt"
	"math"
	"sync"
	"time"
)

// Budget limits retries and hedges to a share of the calls.
//
// A limit of attempts for each call is not enough. With three attempts a call, servers
// that fail because they are overloaded get three times the load at that moment, and the
// retries keep them overloaded after the cause is gone. Pauses between attempts move that
// load, but do not make it smaller. With a budget, servers get little more than the calls
// and a tenth, whatever fails: SIMULATION.md has the figures. While few calls fail, the
// budget refuses none of their retries.
//
// Share is a share of the calls, so that one budget fits a client with ten calls a second
// and one with ten thousand. Floor is for clients with few calls: a tenth of two calls
// would be no retry at all.
//
// The zero value has the defaults. An [Account] enforces a budget.
type Budget struct {
	// Share is what retries and hedges together may add to the calls of the last ten
	// seconds. 0: 0.1. Negative: none. At most 1.
	Share float64
	// Floor is the number of retries and hedges a second, on average over ten seconds,
	// that are granted whatever the number of calls. 0: 3. Negative: none.
	Floor float64
}

// Check returns an error that names the field with a value that has no meaning.
func (b Budget) Check() error {
	switch {
	case math.IsNaN(b.Share), b.Share > 1, math.IsInf(b.Share, 0):
		return fmt.Errorf("budget: Share %v: want a share from 0 to 1, or a negative number for none", b.Share)
	case math.IsNaN(b.Floor), math.IsInf(b.Floor, 0):
		return fmt.Errorf("budget: Floor %v: want a number", b.Floor)
	}
	return nil
}

// Account keeps one client within its Budget. It is safe for concurrent use.
type Account struct {
	share float64 // of calls
	floor float64 // a second
	begin time.Time

	mu    sync.Mutex // guards what follows
	at    int64      // the newest second of ring
	calls uint64     // at the last Spend
	ring  [budgetWindow]struct{ calls, spent float64 }
}

// budgetWindow is the number of seconds for which a call and a retry count.
const budgetWindow = 10

// NewAccount makes the account of a client that has made no call yet. With a Budget that
// [Budget.Check] refuses, the account grants nothing.
func NewAccount(b Budget) *Account {
	of := func(value, byDefault float64) float64 {
		if value == 0 {
			return byDefault
		}
		return max(0, value)
	}
	if b.Check() != nil {
		b = Budget{Share: -1, Floor: -1}
	}
	return &Account{share: of(b.Share, 0.1), floor: of(b.Floor, 3), begin: time.Now()}
}

// Spend asks for one retry or hedge; there must be none when it returns false. calls is
// the number of calls since NewAccount, without their retries. Clients count their calls
// anyway, so that a call that succeeds costs nothing here.
func (a *Account) Spend(calls uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	second := int64(time.Since(a.begin) / time.Second)
	fresh := float64(0)
	if calls > a.calls { // else another goroutine has counted later, and was here first
		fresh = float64(calls - a.calls)
		a.calls = calls
	}
	// When the calls were made is not known: they count as spread evenly over the seconds
	// since the last Spend. If all of them counted as made now, those of a good time before
	// a storm would allow twice the share during it.
	gone := second - a.at
	each := fresh / float64(max(gone, 1))
	for i := max(a.at, second-budgetWindow) + 1; i <= second; i++ {
		a.ring[i%budgetWindow] = struct{ calls, spent float64 }{calls: each}
	}
	if gone == 0 {
		a.ring[second%budgetWindow].calls += fresh
	}
	a.at = second
	var made, spent float64
	for _, s := range a.ring {
		made += s.calls
		spent += s.spent
	}
	if spent+1 > a.share*made+a.floor*budgetWindow {
		return false
	}
	a.ring[second%budgetWindow].spent++
	return true
}
