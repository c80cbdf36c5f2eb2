package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// sample is an App with one command of each kind.
func sample() *App {
	print := func(flags *flag.FlagSet) Run {
		loud := flags.Bool("loud", false, "in capitals")
		times := flags.Int("times", 1, "`NUMBER` of times")
		every := flags.Duration("every", time.Second, "`DURATION` between them")
		return func(_ context.Context, c Call) error {
			fmt.Fprintf(c.Out, "%q %q loud=%v times=%d every=%v\n", c.Args, c.Tail, *loud, *times, *every)
			return nil
		}
	}
	fail := func(err error) func(*flag.FlagSet) Run {
		return func(*flag.FlagSet) Run { return func(context.Context, Call) error { return err } }
	}
	return &App{
		Name: "app", Short: "a sample", Version: "1", Common: []string{"every"},
		Commands: []Command{
			{Name: "print", Args: "[A] [B]", Short: "print", Max: 2, Make: print},
			{Name: "print all", Args: "...", Short: "print all", Min: 1, Max: -1, Tail: true, Make: print},
			{Name: "fail", Short: "fail", Make: fail(errors.New("no luck"))},
			{Name: "lost", Short: "find nothing", Make: fail(Exit(NotFound, errors.New("not there")))},
			{Name: "quiet", Short: "end with a status", Words: Shells, Make: fail(Exit(7, nil))},
		},
	}
}

func TestMainReadsTheCommandLine(t *testing.T) {
	for _, tc := range []struct {
		line   string
		status int
		out    string // part of standard output
		err    string // part of standard error
	}{
		{"", Usage, "", "Usage: app COMMAND"},
		{"help", Done, "print all ...", ""},
		{"-h", Done, "Usage: app COMMAND", ""},
		{"help print", Done, "Usage: app print [FLAGS] [A] [B]", ""},
		{"help print all", Done, "Usage: app print all [FLAGS] ...", ""},
		{"help print x", Usage, "", `app: unexpected argument "x"; write app help COMMAND`},
		{"print -help", Done, "-times NUMBER", ""},
		{"-version", Done, "app 1", ""},
		{"prnit", Usage, "", `app: unknown command "prnit"; did you mean print?; see app help`},
		{"print", Done, `[] [] loud=false times=1 every=1s`, ""},
		{"print a -loud b -times 3", Done, `["a" "b"] [] loud=true times=3`, ""},
		{"print --times=3 -loud=false a", Done, `["a"] [] loud=false times=3`, ""},
		{"print - -- -loud", Done, `["-" "-loud"] [] loud=false`, ""},
		{"print a b c", Usage, "", `app print: unexpected argument "c"; write app print [A] [B]`},
		{"print al", Usage, "", `app print: unknown command "print al"; did you mean print all?`},
		{"print all", Usage, "", "app print all: an argument is missing; write app print all ..."},
		{"print all a b c -- d -loud", Done, `["a" "b" "c"] ["d" "-loud"] loud=false`, ""},
		{"print -lod", Usage, "", "app print: unknown flag -lod; did you mean -loud?"},
		{"print -xyzzy", Usage, "", "expected one of -every, -loud, -times"},
		{"print -times", Usage, "", "app print: -times: its value is missing"},
		{"print -times=", Usage, "", "app print: -times: the value is empty"},
		{"print -times x", Usage, "", `app print: -times: bad value "x": expected a number`},
		{"print -loud=x", Usage, "", `app print: -loud: bad value "x"`},
		{"fail", Failed, "", "app fail: no luck\n"},
		{"fail -x", Usage, "", "app fail: unknown flag -x; this command has no flags"},
		{"lost", NotFound, "", "app lost: not there\n"},
		{"quiet", 7, "", ""},
	} {
		var out, errs strings.Builder
		status := sample().Main(context.Background(), strings.Fields(tc.line), Streams{Out: &out, Err: &errs})
		if status != tc.status || !strings.Contains(out.String(), tc.out) || !strings.Contains(errs.String(), tc.err) || tc.err == "" && errs.Len() > 0 {
			t.Errorf("app %s: status %d, want %d\n%s%s", tc.line, status, tc.status, out.String(), errs.String())
		}
	}
}

// TestAnOutputThatCannotBeWrittenIsAFailure: a full disk must not look like success.
func TestAnOutputThatCannotBeWrittenIsAFailure(t *testing.T) {
	r, w := io.Pipe()
	r.CloseWithError(errors.New("disk full"))
	var errs strings.Builder
	if status := sample().Main(context.Background(), []string{"print"}, Streams{Out: w, Err: &errs}); status != Failed || errs.String() != "app print: standard output: disk full\n" {
		t.Errorf("status %d, %s", status, errs.String())
	}
}

func TestHelpShowsCommonFlagsLast(t *testing.T) {
	a := sample()
	page := a.page(&a.Commands[0])
	own, common, ok := strings.Cut(page, "\nCommon flags:\n")
	if !ok || !strings.Contains(own, "  -loud          in capitals\n  -times NUMBER  NUMBER of times (default 1)\n") || common != "  -every DURATION  DURATION between them (default 1s)\n" {
		t.Errorf("got\n%s", page)
	}
}
