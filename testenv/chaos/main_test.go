//go:build unix

package chaos

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/rpcserver"
	"go.uber.org/goleak"
)

var (
	duration = flag.Duration("chaos.duration", 3*time.Second, "how long each kind of chaos lasts")
	rate     = flag.Int("chaos.rate", defaultRate, "calls a second")
	servers  = flag.Int("chaos.servers", 5, "server processes")
	loud     = flag.Bool("chaos.log", false, "let the processes write their logs to standard error")
)

// The environment of a process that is not the test.
const (
	envTask   = "ROLLCALL_CHAOS_TASK" // "dnsd" or "server"
	envDNS    = "ROLLCALL_CHAOS_DNS"  // address
	envHook   = "ROLLCALL_CHAOS_HOOK" // address
	envStore  = "ROLLCALL_CHAOS_STORE"
	envID     = "ROLLCALL_CHAOS_ID"
	envPort   = "ROLLCALL_CHAOS_PORT"   // to publish in place of the listener's
	envLedger = "ROLLCALL_CHAOS_LEDGER" // file
)

const service = "_ledger._tcp"

func TestMain(m *testing.M) {
	switch task := os.Getenv(envTask); task {
	case "":
		goleak.VerifyTestMain(m)
	case "dnsd":
		peertest.Main(runDNSD)
	case "server":
		peertest.Main(runServer)
	default:
		fmt.Fprintf(os.Stderr, "chaos: no task %q\n", task)
		os.Exit(2)
	}
}

func logger() *slog.Logger {
	if os.Getenv("ROLLCALL_CHAOS_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("task", os.Getenv(envTask), "id", os.Getenv(envID))
}

// lease of the servers, and TTL of their records.
const (
	lease = 6 * time.Second
	ttl   = time.Second
)

func runDNSD(ctx context.Context) error {
	store := dnsd.Store{Kind: "memory"}
	if path := os.Getenv(envStore); path != "" {
		store = dnsd.Store{Kind: "bolt", Path: path}
	}
	s, err := dnsd.New(dnsd.Config{
		Logger: logger(),
		Zones: []dnsd.Zone{{
			Bind:  []string{os.Getenv(envDNS)},
			Hook:  dnsd.Hook{Addr: os.Getenv(envHook)},
			Store: store,
			TTL:   ttl, Lease: dnsd.Lease{Default: lease, Min: 3 * time.Second},
		}},
	})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return s.Run(ctx)
}

// Ledger is the service under test.
type Ledger struct{ file *os.File }

// Call is the argument of Do.
type Call struct {
	ID    uint64
	Pause time.Duration // time that the execution takes
}

// Do executes a call. It writes the ledger before it does anything else.
func (l *Ledger) Do(c Call, reply *uint64) error {
	if _, err := l.file.Write(binary.BigEndian.AppendUint64(nil, c.ID)); err != nil {
		return err
	}
	time.Sleep(c.Pause)
	*reply = c.ID
	return nil
}

func runServer(ctx context.Context) error {
	file, err := os.OpenFile(os.Getenv(envLedger), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	port, _ := strconv.ParseUint(os.Getenv(envPort), 10, 16) // none: the listener's
	held := make(chan struct{})
	var once sync.Once
	s := rpcserver.New(rpcserver.Config{
		Addr: "127.0.0.1:0", Logger: logger(),
		Announce: []register.Config{{
			Hooks: []string{"http://" + os.Getenv(envHook)}, Service: service, ID: os.Getenv(envID),
			Registration: register.Registration{Port: uint16(port)},
			OnChange: func(st register.Status) {
				if st.State == register.LeaseHeld {
					once.Do(func() { close(held) })
				}
			},
		}},
	})
	if err := s.Register(&Ledger{file}); err != nil {
		return err
	}
	go func() {
		select {
		case <-held:
			fmt.Println(s.Addr().(*net.TCPAddr).Port)
		case <-ctx.Done():
		}
	}()
	return s.Run(ctx)
}
