package verbs

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/hook"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/metrics"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/show"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/snapshot"
	"github.com/rollcall-dns/rollcall/register"
)

const (
	// restoreSize is what one request of a restore has at most. The hook takes 64 KiB.
	restoreSize = 60 << 10
	// restorePatience is how long one part of a restore is tried again while dnsd asks for
	// a pause: another writer is elected within seconds, and a disk that is full stays so.
	restorePatience = time.Minute
	// restorePause is the longest pause between two tries, beside what dnsd asks for.
	restorePause = 8 * time.Second
)

// restoreOutcome is what restore did.
type restoreOutcome struct {
	Restored int `json:"restored"`
	Kept     int `json:"kept"`
}

var restore = cli.Command{
	Name: "restore", Args: "FILE", Min: 1, Max: 1,
	Short: "register what is in a copy that backup wrote, in a dnsd that has lost it",
	Long: `Where instances are registered nothing is done without -add. With it, what is registered
stays as it is, and the rest of the copy is added: also what has left since on purpose.

Leases begin again: an instance is unconfirmed until it renews, and one whose server is gone
leaves after one lease. If many are gone, the guard keeps them longer: see guard release. The
file is checked as a whole before anything is sent. A restore that was broken off may be
repeated with -add. Of several dnsd, the writer does it: give the hooks of all with -hook. The
token needs the right admin for all services.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		r := &restoring{asking: askFlags(flags), pause: pause}
		flags.BoolVar(&r.add, "add", false, "add to what is registered")
		flags.BoolVar(&r.otherZone, "other-zone", false, "also if the copy is of another zone than that of the hook")
		return r.run
	},
}

// restoring are the flags of restore.
type restoring struct {
	*asking
	add, otherZone bool

	doubt bool // a try ended without an answer, and may have been stored

	pause func(ctx context.Context, d time.Duration) error
}

func (r *restoring) run(ctx context.Context, c cli.Call) error {
	ctx, stop := untilSignal(ctx) // to say how far it came
	defer stop()
	client, err := r.client()
	if err != nil {
		return err
	}
	f, err := os.Open(c.Args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	head, err := checkSnapshot(f)
	if err != nil {
		return fmt.Errorf("%s: %w; nothing was restored", c.Args[0], err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if !r.add {
		switch n, from, err := registered(ctx, client); {
		case err != nil:
			return fmt.Errorf("%w; nothing was restored", err)
		case n > 0:
			return fmt.Errorf("hook %s: %.0f instances are registered there, so nothing was restored; -add keeps them as they are, and adds what is missing of %s", from, n, c.Args[0])
		}
	}
	var all restoreOutcome
	for body, err := range snapshot.Parts(f, restoreSize, r.otherZone) {
		var part restoreOutcome
		if err == nil {
			part, err = r.send(ctx, client, c.Err, body)
		}
		if err != nil {
			return r.brokenOff(nameWriter(ctx, client, err), all)
		}
		all.Restored += part.Restored
		all.Kept += part.Kept
	}
	if r.json {
		return show.JSON(c.Out, all)
	}
	fmt.Fprintf(c.Out, "%d instances are restored, as of %s; %d were there, or newer ones of their ids\n", all.Restored, head.Time.Format(time.RFC3339), all.Kept)
	return nil
}

// brokenOff says what was done before err.
func (r *restoring) brokenOff(err error, all restoreOutcome) error {
	switch p := hook.Refusal(err); {
	case all.Restored+all.Kept > 0:
		return fmt.Errorf("%w; %d instances were restored until then, and the restore may be repeated with -add", err, all.Restored)
	case r.doubt:
		return fmt.Errorf("%w; it is not known whether a part of it was restored: repeat it with -add", err)
	case p != nil && p.Status == http.StatusBadRequest && (p.Field == "zone" || p.Field == "revision") && strings.HasPrefix(p.Detail, "unknown field"):
		return fmt.Errorf("%w. Nothing was restored; this dnsd is older than this command: -other-zone leaves the field out, and then it is not checked whether the copy is of the zone of the hook", err)
	case p != nil && p.Status == http.StatusConflict && p.Field == "zone":
		return fmt.Errorf("%w. Nothing was restored; -hook names another hook, and -other-zone restores it here", err)
	}
	return fmt.Errorf("%w; nothing was restored", err)
}

// stored says whether a try that ended with err may have been stored: it was, if only the
// answer was lost. Nothing was, if there was a refusal, or no connection. Of several hooks each
// has its own error.
func stored(err error) bool {
	switch e := err.(type) {
	case nil, *register.Problem, *tls.CertificateVerificationError:
		return false
	case *net.OpError:
		return e.Op != "dial"
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), stored)
	case interface{ Unwrap() error }:
		return stored(e.Unwrap())
	}
	return true
}

// registered is how many instances dnsd has, and the hook that says it.
func registered(ctx context.Context, client *hook.Client) (n float64, from string, err error) {
	text, from, err := client.TextFrom(ctx, "/metrics")
	if err != nil {
		return 0, "", err
	}
	m, err := metrics.Parse(text)
	if err != nil {
		return 0, "", err
	}
	n, ok := m.Sum("rollcall_registry_instances")
	if !ok {
		return 0, "", fmt.Errorf("hook %s: /metrics has no instances: %w", from, hook.ErrFormat)
	}
	return n, from, nil
}

// electing says whether another try may find a writer: of several hooks none is that of the
// writer now. One hook alone that follows is the wrong one.
func electing(client *hook.Client, err error) bool {
	return len(client.Bases()) > 1 && hook.IsStatus(err, http.StatusMisdirectedRequest)
}

// nameWriter adds to the refusal of a hook that follows which hook would restore. It is not
// asked by itself: the token is for the hooks that were given.
func nameWriter(ctx context.Context, client *hook.Client, err error) error {
	if !hook.IsStatus(err, http.StatusMisdirectedRequest) {
		return err
	}
	var c register.Cluster
	if client.Do(ctx, http.MethodGet, "/v1/cluster", nil, &c) != nil || c.Etcd == nil {
		return err // 421 was for another reason
	}
	for _, m := range c.Members {
		switch {
		case m.Name != c.Writer || m.Hook == "":
		case slices.Contains(client.Bases(), m.Hook): // each dnsd names an address that means itself, such as 127.0.0.1
			return fmt.Errorf("%w; the writer is %s, and names a hook that is another dnsd from here: run this on the machine of %s, or give the hooks of all dnsd", err, show.Clean(m.Name), show.Clean(m.Name))
		default:
			return fmt.Errorf("%w; the writer is %s: give its hook, -hook %s, or those of all dnsd", err, show.Clean(m.Name), show.Clean(m.Hook))
		}
	}
	if c.Writer != "" {
		return fmt.Errorf("%w; the writer is %s, whose hook is not known: give the hooks of all dnsd with -hook", err, show.Clean(c.Writer))
	}
	return fmt.Errorf("%w; no writer is known now: give the hooks of all dnsd with -hook", err)
}

// send sends one part. While dnsd asks for a pause, or a writer is elected, it is sent
// again, for a bounded time: a part that was restored already changes nothing.
func (r *restoring) send(ctx context.Context, client *hook.Client, errs io.Writer, body []byte) (part restoreOutcome, err error) {
	waited, own := time.Duration(0), time.Second
	for {
		err = client.Do(ctx, http.MethodPost, snapshotPath, json.RawMessage(body), &part)
		r.doubt = r.doubt || stored(err)
		asked, again := hook.RetryAfter(err)
		if !again && !electing(client, err) {
			return part, err
		}
		d := max(asked, own)
		if waited+d > restorePatience {
			return part, fmt.Errorf("%w; after %v of trying again", err, waited)
		}
		waited += d
		fmt.Fprintf(errs, "rollcall restore: %v; trying again in %v\n", err, d)
		// No two restores come back at the same moment.
		if stopped := r.pause(ctx, d+rand.N(d/2)); stopped != nil {
			return part, errors.Join(stopped, err)
		}
		own = min(2*own, restorePause)
	}
}

// pause waits for d, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Tests: restore_test.go, backup_test.go, script_test.go.
