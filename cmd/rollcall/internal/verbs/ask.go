package verbs

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/hook"
	"github.com/rollcall-dns/rollcall/internal/srvname"
	"github.com/rollcall-dns/rollcall/register"
)

// defaultTimeout is that of a request: a person is waiting for it.
const defaultTimeout = 10 * time.Second

// maxTimeout is the longest that makes sense for one request.
const maxTimeout = time.Hour

// asking are the flags of every command that asks the hook.
type asking struct {
	hook.Config
	json bool
}

// askFlags declares the flags of asking.
func askFlags(flags *flag.FlagSet) *asking {
	a := &asking{}
	hookFlags(flags, &a.Config)
	jsonFlag(flags, &a.json)
	return a
}

// hookFlags declares how the hook is found.
func hookFlags(flags *flag.FlagSet, c *hook.Config) {
	flags.StringVar(&c.Hooks, "hook", "", "`URL`s of dnsd's HTTP API, separated by commas; else those of "+hook.VarHook+", else http://"+register.DefaultHook)
	flags.StringVar(&c.Token, "token", "", "`SECRET` to show to the hook, which others see in the list of processes; else that of "+hook.VarToken)
	flags.StringVar(&c.TokenFile, "token-file", "", "`FILE` with the token in its first line; else "+hook.VarTokenFile)
	flags.StringVar(&c.CA, "ca", "", "`FILE` with the authority that signed the hook's certificate; else "+hook.VarCA+", else those of the system")
	flags.StringVar(&c.Cert, "cert", "", "`FILE` with a client certificate; else "+hook.VarCert)
	flags.StringVar(&c.Key, "key", "", "`FILE` with its key; else "+hook.VarKey)
	timeoutFlag(flags, &c.Timeout, "how long to wait for an answer")
}

func jsonFlag(flags *flag.FlagSet, v *bool) {
	flags.BoolVar(v, "json", false, "print JSON, for programs")
}

// timeoutFlag declares -timeout, which is bounded: 0 would mean two things.
func timeoutFlag(flags *flag.FlagSet, v *time.Duration, text string) {
	*v = defaultTimeout
	flags.Var((*wait)(v), "timeout", "`DURATION`: "+text)
}

// wait is a duration that is above zero.
type wait time.Duration

func (w *wait) String() string { return time.Duration(*w).String() }

func (w *wait) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || d > maxTimeout {
		return fmt.Errorf("expected a duration above 0 and up to %v, such as 5s", maxTimeout)
	}
	*w = wait(d)
	return nil
}

// commonFlags are the names of the flags that many commands have.
func commonFlags() []string {
	return []string{"hook", "token", "token-file", "ca", "cert", "key", "json", "timeout"}
}

// client returns the client of the hook. Its error is one of the command line.
func (a *asking) client() (*hook.Client, error) {
	c, err := hook.New(a.Config)
	if err != nil {
		return nil, cli.Exit(cli.Usage, err)
	}
	return c, nil
}

// found gives an error that says "not found" its exit status.
func found(err error) error {
	if hook.IsStatus(err, http.StatusNotFound) {
		return cli.Exit(cli.NotFound, err)
	}
	return err
}

// serviceOf reads the name of a service.
func serviceOf(arg string) (string, error) {
	if err := srvname.CheckService(arg); err != nil {
		if strings.Count(arg, "_") == 0 && srvname.LabelProblem(arg) == "" {
			return "", cli.Wrong("bad service %q; did you mean _%s._tcp?", arg, arg)
		}
		return "", cli.Wrong("bad service %q: it %w", arg, err)
	}
	return arg, nil
}

// instanceOf reads the name of an instance: SERVICE ID, or SERVICE/ID as logs write it.
func instanceOf(args []string) (service, id string, err error) {
	if len(args) == 1 {
		s, i, ok := strings.Cut(args[0], "/")
		if !ok {
			return "", "", cli.Wrong("the id of the instance is missing; write SERVICE ID")
		}
		args = []string{s, i}
	}
	if service, err = serviceOf(args[0]); err != nil {
		return "", "", err
	}
	if problem := srvname.LabelProblem(args[1]); problem != "" {
		return "", "", cli.Wrong("bad id %q: it %s", args[1], problem)
	}
	return service, args[1], nil
}

// instance reads the name of an instance, and returns it with the client of the hook.
func (a *asking) instance(args []string) (client *hook.Client, service, id string, err error) {
	if service, id, err = instanceOf(args); err != nil {
		return nil, "", "", err
	}
	client, err = a.client()
	return client, service, id, err
}

// address is where an instance is.
func address(p register.Published) string {
	return net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port)))
}

// expires is what is left of a lease, in a cell of a table.
func expires(p register.Published) string {
	if p.ExpiresIn == nil {
		return ""
	}
	return p.ExpiresIn.Std().Round(time.Second).String()
}

// Tests: ask_test.go, script_test.go.
