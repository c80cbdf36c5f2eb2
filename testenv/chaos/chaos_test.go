//go:build unix

package chaos

import (
	"fmt"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/rpcclient"
)

// killEvery is the time between two deaths.
const killEvery = 200 * time.Millisecond

var idempotent = map[string]rpcclient.Method{"Ledger.Do": {Idempotent: true}}

// killing kills a random server every 200 ms, and calls more after each try.
func (f *fleet) killing(more func(kills int)) (kills int) {
	end := time.After(*duration)
	tick := time.NewTicker(killEvery)
	defer tick.Stop()
	for {
		select {
		case <-end:
			f.wg.Wait()
			return kills
		case <-tick.C:
			if f.killOne() {
				kills++
			}
			if more != nil {
				more(kills)
			}
		}
	}
}

func TestKillingServersFailsNoIdempotentCall(t *testing.T) {
	f := newFleet(t, *servers)
	client := f.client(rpcclient.Config{Methods: idempotent})
	l := calls(client)
	kills := f.killing(nil)
	v := judge(l.end(), f.executed())
	f.summary(v, client, fmt.Sprintf("%d kills", kills))
	v.noneLost(t)
	if v.failed > 0 {
		t.Errorf("%d of %d calls failed", v.failed, v.calls)
	}
	if kills == 0 {
		t.Error("no server was killed")
	}
}

func TestKillingServersExecutesNoCallTwice(t *testing.T) {
	f := newFleet(t, *servers)
	client := f.client(rpcclient.Config{})
	l := calls(client)
	kills := f.killing(nil)
	v := judge(l.end(), f.executed())
	f.summary(v, client, fmt.Sprintf("%d kills", kills))
	v.noneLost(t)
	if v.twice > 0 {
		t.Errorf("%d calls were executed twice", v.twice)
	}
	if v.maybe != v.failed {
		t.Errorf("%d of %d failed calls were not reported as maybe executed", v.failed-v.maybe, v.failed)
	}
	if kills == 0 {
		t.Error("no server was killed")
	}
}

func TestRollingRestartFailsNoCall(t *testing.T) {
	f := newFleet(t, 3)
	client := f.client(rpcclient.Config{})
	l := calls(client)
	rounds := 0
	for began := time.Now(); rounds == 0 || time.Since(began) < *duration; rounds++ {
		for _, s := range f.servers {
			if err := f.restartOne(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	v := judge(l.end(), f.executed())
	f.summary(v, client, fmt.Sprintf("%d rounds", rounds))
	v.noneLost(t)
	if v.failed > 0 || v.twice > 0 {
		t.Errorf("%d calls failed, %d were executed twice", v.failed, v.twice)
	}
}

func TestHangingServersAreLeftAndFoundAgain(t *testing.T) {
	const attempt = 500 * time.Millisecond
	f := newFleet(t, 3)
	// One server is reached through a path that can swallow everything.
	h := newHole(t)
	holed := &server{id: "holed", port: portOf(h.Addr())}
	f.servers[holed.id] = holed
	if err := f.startServer(holed); err != nil {
		t.Fatal(err)
	}
	h.to(holed.addr)

	client := f.client(rpcclient.Config{
		Methods: idempotent, Retry: rpcclient.RetryConfig{AttemptTimeout: attempt},
		Conn: rpcclient.ConnConfig{PingInterval: 500 * time.Millisecond, PingTimeout: 500 * time.Millisecond},
	})
	l := calls(client)
	serving := func(id string) {
		before := len(f.executedBy(id))
		f.await(id+" serves", func() bool { return len(f.executedBy(id)) > before+10 })
	}
	serving("s0")
	serving("holed")

	// A process that is stopped.
	f.servers["s0"].proc.Signal(syscall.SIGSTOP)
	// A server that accepts and never answers.
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	port, _ := strconv.ParseUint(portOf(mute.Addr()), 10, 16)
	ctx, cancel := timeout(startTime)
	defer cancel()
	kept, err := register.Keep(ctx, register.Config{
		Hooks: []string{"http://" + f.hook}, Service: service, ID: "mute",
		Registration: register.Registration{Port: uint16(port)},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.swallow(true)

	// The client must leave them, however long that takes.
	f.await("the stopped and the swallowed server are left", func() bool {
		left := 0
		for _, n := range client.Stats().Nodes {
			if (n.Addr == f.servers["s0"].addr || n.Addr == "127.0.0.1:"+holed.port) && n.Connections == 0 {
				left++
			}
		}
		return left == 2
	})
	wait := time.NewTimer(*duration)
	defer wait.Stop()
	<-wait.C

	f.servers["s0"].proc.Signal(syscall.SIGCONT)
	h.swallow(false)
	serving("s0")
	serving("holed")
	results := l.end()
	v := judge(results, f.executed())
	f.summary(v, client)
	v.noneLost(t)
	if v.failed > 0 {
		t.Errorf("%d of %d calls failed", v.failed, v.calls)
	}
	// Each of the three may cost a call one attempt. A machine under load takes longer
	// than the attempt's timeout, hence the factor.
	if v.p99 > 3*attempt {
		t.Errorf("99 %% of the calls took up to %v; an attempt has %v", v.p99, attempt)
	}
	// not ctx: it may have ended, because it was for Keep
	if err := kept.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestKillingDNSDFailsNoCall(t *testing.T) {
	f := newFleet(t, *servers)
	client := f.client(rpcclient.Config{Methods: idempotent})
	l := calls(client)
	dnsdKills := 0
	kills := f.killing(func(kills int) {
		if kills%5 != 3 { // about once a second, in the middle of it all
			return
		}
		f.dnsd.Kill()
		if err := f.startDNSD(); err != nil {
			t.Error(err)
		}
		dnsdKills++
	})
	v := judge(l.end(), f.executed())
	f.summary(v, client, fmt.Sprintf("%d kills of servers, %d of dnsd", kills, dnsdKills))
	v.noneLost(t)
	if v.failed > 0 {
		t.Errorf("%d of %d calls failed", v.failed, v.calls)
	}
	if dnsdKills == 0 {
		t.Error("dnsd was never killed")
	}
}
