package verbs

import (
	"context"
	"os"
	"runtime/debug"

	"golang.org/x/term"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
)

// Main runs rollcall with the arguments of the command line, and returns the exit status.
func Main(ctx context.Context, args []string) int {
	return app().Main(ctx, args, cli.Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Terminal: term.IsTerminal(int(os.Stdout.Fd())),
	})
}

// app is the table of commands.
func app() *cli.App {
	return &cli.App{
		Name:     "rollcall",
		Short:    "the command for services that are registered with dnsd",
		Version:  version(),
		Common:   commonFlags(),
		Commands: []cli.Command{ls, get, watch, drain, undrain, rm, guard, guardRelease, resolve, call, registerCommand, top, clusterCommand, clusterAdd, clusterRemove, doctor},
	}
}

// version is that of the module, and of Go.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && v == "(devel)" {
			v += " " + s.Value
		}
	}
	return v + " " + info.GoVersion
}

// Tests: script_test.go.
