package verbs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/hook"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/show"
	"github.com/rollcall-dns/rollcall/register"
)

var watch = cli.Command{
	Name: "watch", Args: "[SERVICE]", Max: 1,
	Short: "follow changes as they happen, until Ctrl-C",
	Long: `It begins with what is registered, and prints a line for each change after that. When
the connection breaks it connects again and goes on where it was.

With -json each line is an event of the watch (docs/http-api.md#watch) with its id. The
last id is what -since takes.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		since := flags.String("since", "", "`ID` of the last event that is known: only what came after it")
		changes := flags.Uint("changes", 0, "`NUMBER` of changes after which to end; 0: go on until Ctrl-C")
		return func(ctx context.Context, c cli.Call) error { return a.watch(ctx, c, *since, *changes) }
	},
}

// errEnough ends a watch that has shown as many changes as were asked for.
var errEnough = errors.New("enough changes")

func (a *asking) watch(ctx context.Context, c cli.Call, since string, changes uint) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	f := &follower{c: c, json: a.json, left: changes, endless: changes == 0}
	w := &hook.Watcher{Since: since, Event: f.event, Again: f.again}
	var err error
	if len(c.Args) == 1 {
		if w.Service, err = serviceOf(c.Args[0]); err != nil {
			return err
		}
	}
	if w.Client, err = a.client(); err != nil {
		return err
	}
	if err := w.Run(ctx); err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return nil
}

// follower prints the events of a watch.
type follower struct {
	c       cli.Call
	json    bool
	present int
	left    uint // changes still to show
	endless bool
}

// line is an event with its id, as JSON.
type line struct {
	ID string `json:"id,omitempty"`
	register.Event
}

func (f *follower) event(id string, e register.Event) error {
	change := e.Type == register.EventPut || e.Type == register.EventDelete
	switch {
	case f.json:
		if err := show.Line(f.c.Out, line{id, e}); err != nil {
			return err
		}
	case e.Type == hook.EventSync:
		fmt.Fprintf(f.c.Err, "%d present at revision %d; changes follow\n", f.present, e.Revision)
		f.present = 0
	default:
		what, state := map[string]string{hook.EventSnapshot: "present", register.EventPut: "published", register.EventDelete: "removed"}[e.Type], string(e.Instance.State)
		if what == "" {
			return nil // of a later version of the hook
		}
		if e.Type == register.EventDelete {
			state = ""
		}
		if e.Type == hook.EventSnapshot {
			f.present++
		}
		text := fmt.Sprintf("%s  %-9s  %-24s  %-21s  %s", time.Now().Format(time.TimeOnly), what,
			show.Clean(e.Service+"/"+e.Instance.ID), show.Clean(address(e.Instance)), show.Clean(state))
		if _, err := fmt.Fprintln(f.c.Out, strings.TrimRight(text, " ")); err != nil {
			return err
		}
	}
	if err := f.c.Out.Flush(); err != nil { // the reader went away
		return err
	}
	if change && !f.endless {
		if f.left--; f.left == 0 {
			return errEnough
		}
	}
	return nil
}

// again says why the watch connects again.
func (f *follower) again(err error) {
	fmt.Fprintf(f.c.Err, "rollcall watch: %v; connecting again\n", err)
}

// Tests: script_test.go.
