package verbs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/hook"
	"github.com/rollcall-dns/rollcall/internal/srvname"
	"github.com/rollcall-dns/rollcall/register"
)

var registerCommand = cli.Command{
	Name: "register", Args: "SERVICE [-- COMMAND ARGUMENTS...]", Min: 1, Max: 1, Tail: true,
	Short: "register a program in any language, and keep it registered while it runs",
	Long: `It starts COMMAND, registers it when its port accepts connections, and keeps the lease.
Signals are passed on. At SIGTERM and SIGINT the instance leaves DNS first. When the
command ends, the instance is deregistered, and the exit status is that of the command
(128 and the number, if a signal ended it; 127, if it could not be started).

If the port does not answer within -wait, if the hook refuses the registration, or if
another process registers the same id later, the command is stopped, and the status is 1.
If dnsd does not answer, the command runs on, and is registered when dnsd is back.

Without a COMMAND it registers a program that runs already, until SIGTERM, SIGHUP or Ctrl-C.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		k := &keeping{}
		hookFlags(flags, &k.Config)
		k.port.max, k.priority.max, k.weight.max = 65535, 65535, 65535
		flags.Var(&k.port, "port", "`NUMBER` of the port that the program listens on; required")
		flags.StringVar(&k.host, "host", "", "`ADDRESS` or name to publish; else the one that the hook sees")
		flags.StringVar(&k.id, "id", "", "`LABEL` of the instance; else it is made from host and port")
		flags.Var(&k.priority, "priority", "`NUMBER`: clients use the lowest; else 10")
		flags.Var(&k.weight, "weight", "`NUMBER`: the share of calls; else 100")
		flags.DurationVar(&k.ttl, "ttl", 0, "`DURATION` of the DNS records; else that of the Corefile")
		flags.DurationVar(&k.lease, "lease", 0, "`DURATION` that it stays in DNS without a renewal; else that of the Corefile")
		flags.Func("meta", "`KEY=VALUE` to publish as TXT; may be given again", k.addMeta)
		flags.BoolVar(&k.drain, "drain", false, "leave it out of DNS, registered, for as long as it runs: for a trial")
		flags.BoolVar(&k.check, "check", true, "wait until the port accepts connections; not for _udp")
		flags.DurationVar(&k.wait, "wait", 30*time.Second, "`DURATION` within which the port must accept connections")
		flags.DurationVar(&k.linger, "linger", 0, "`DURATION` between leaving DNS and passing SIGTERM on, for caches; its TTL is enough")
		return k.run
	},
}

// keeping are the flags of register.
type keeping struct {
	hook.Config
	port, priority, weight number
	host, id               string
	ttl, lease             time.Duration
	meta                   map[string]string
	drain, check           bool
	wait, linger           time.Duration
}

// number is a flag with a whole number; given tells 0 from no value.
type number struct {
	value uint64
	max   uint64
	given bool
}

func (n *number) String() string {
	if n == nil || !n.given {
		return ""
	}
	return strconv.FormatUint(n.value, 10)
}

func (n *number) Set(s string) error {
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil || v > n.max {
		return fmt.Errorf("expected a number from 0 to %d", n.max)
	}
	n.value, n.given = v, true
	return nil
}

// pointer is nil for a number that was not given.
func (n *number) pointer() *uint16 {
	if !n.given {
		return nil
	}
	return register.Uint16(uint16(n.value))
}

func (k *keeping) addMeta(s string) error {
	key, value, ok := strings.Cut(s, "=")
	if !ok || key == "" {
		return errors.New("write KEY=VALUE")
	}
	if k.meta == nil {
		k.meta = map[string]string{}
	}
	k.meta[key] = value
	return nil
}

// config is what package register is told.
func (k *keeping) config(service string) (cfg register.Config, err error) {
	if service, err = serviceOf(service); err != nil {
		return cfg, err
	}
	switch {
	case !k.port.given || k.port.value == 0:
		return cfg, cli.Wrong("-port is missing: which port does the program listen on?")
	case k.wait <= 0 || k.linger < 0 || k.ttl < 0 || k.lease < 0:
		return cfg, cli.Wrong("-wait, -linger, -ttl, -lease: a duration is above 0")
	}
	if problem := srvname.LabelProblem(k.id); k.id != "" && problem != "" {
		return cfg, cli.Wrong("-id: bad value %q: it %s", k.id, problem)
	}
	client, err := hook.New(k.Config)
	if err != nil {
		return cfg, cli.Exit(cli.Usage, err)
	}
	return register.Config{
		Hooks: client.Bases(), Service: service, ID: k.id, Token: client.Token(), HTTP: client.HTTP(), Timeout: k.Timeout,
		Registration: register.Registration{
			Host: k.host, Port: uint16(k.port.value), Priority: k.priority.pointer(), Weight: k.weight.pointer(),
			TTL: register.Duration(k.ttl), Lease: register.Duration(k.lease), Meta: k.meta, Drain: k.drain,
		},
	}, nil
}

func (k *keeping) run(ctx context.Context, c cli.Call) error {
	cfg, err := k.config(c.Args[0])
	if err != nil {
		return err
	}
	if c.Tail != nil && len(c.Tail) == 0 {
		return cli.Wrong("the command after -- is missing")
	}
	s := &supervisor{keeping: k, cfg: cfg, check: k.check && strings.HasSuffix(cfg.Service, "._tcp"), errs: c.Err}
	if len(c.Tail) == 0 {
		return s.alone(ctx)
	}
	if s.check && answers(ctx, k.addresses()) {
		return fmt.Errorf("port %d accepts connections before the command has started: another program has it; choose another -port, or give -check=false", k.port.value)
	}
	return s.with(ctx, c.Tail, os.Stdin, os.Stdout, os.Stderr)
}

// addresses are where the program may listen: at the host that is published, else on this
// machine.
func (k *keeping) addresses() (addrs []string) {
	port := strconv.FormatUint(k.port.value, 10)
	if k.host != "" {
		return []string{net.JoinHostPort(k.host, port)}
	}
	hosts := []string{"127.0.0.1", "::1"}
	own, _ := net.InterfaceAddrs() // without them, loopback has to do
	for _, a := range own[:min(len(own), maxOwn)] {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			hosts = append(hosts, p.Addr().String())
		}
	}
	for _, h := range hosts {
		addrs = append(addrs, net.JoinHostPort(h, port))
	}
	return addrs
}

const (
	maxOwn = 32 // addresses of this machine that are tried
	// knock is how long one address is tried: it is on this machine, or near.
	knock = time.Second
	// between is the pause between two tries.
	between = 50 * time.Millisecond
)

// answers says whether one of the addresses accepts a connection.
func answers(ctx context.Context, addrs []string) bool {
	for _, a := range addrs {
		d := net.Dialer{Timeout: knock}
		if c, err := d.DialContext(ctx, "tcp", a); err == nil {
			c.Close()
			return true
		}
	}
	return false
}

// Tests: register_test.go, script_test.go.
