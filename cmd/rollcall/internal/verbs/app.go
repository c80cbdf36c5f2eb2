package verbs

import (
	"context"
	"flag"
	"log"
	"os"

	"golang.org/x/term"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/hook"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/show"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/view"
	"github.com/rollcall-dns/rollcall/internal/release"
)

// Main runs rollcall with the arguments of the command line, and returns the exit status.
func Main(ctx context.Context, args []string) int {
	errs := show.Harmless(os.Stderr) // an error may have the words of a server
	log.SetOutput(errs)              // of package register
	return app().Main(ctx, args, cli.Streams{
		In: os.Stdin, Out: os.Stdout, Err: errs,
		Terminal: term.IsTerminal(int(os.Stdout.Fd())),
	})
}

// app is the table of commands.
func app() *cli.App {
	return &cli.App{
		Name:  "rollcall",
		Short: "the command for services that are registered with dnsd",
		Long: `rollcall shows what is registered with dnsd, changes it, and looks at it through DNS as
clients see it. It speaks to dnsd's HTTP API, which is called the hook, and to DNS servers.

Flags may come before and after the arguments. After -- nothing is a flag. Tables are for
people; programs use -json, whose fields are those of the HTTP API.`,
		Version: release.Version(),
		Names:   names.Name,
		Common:  commonFlags(),
		Commands: []cli.Command{
			ls, get, watch, drain, undrain, rm, guard, guardRelease, fence, fenceRelease, resolve, call, registerCommand,
			top, clusterCommand, clusterAdd, clusterRemove, backup, restore, doctor, names, completion(),
		},
		Statuses: []cli.Entry{
			{Word: "0", Text: "done"},
			{Word: "1", Text: "failed"},
			{Word: "2", Text: "the command line is wrong; nothing was done"},
			{Word: "3", Text: "what was asked for is not there"},
		},
		Environment: []cli.Entry{
			{Word: hook.VarHook, Text: "URLs of hooks, separated by commas; the next is used when one does not answer"},
			{Word: hook.VarToken, Text: "the token to show to the hook"},
			{Word: hook.VarTokenFile, Text: "a file with the token in its first line"},
			{Word: hook.VarCA, Text: "a file with the authority that signed the hook's certificate"},
			{Word: hook.VarCert + ", " + hook.VarKey, Text: "files with a client certificate and its key"},
			{Word: view.VarDNS, Text: "DNS servers to ask, IP:port, separated by commas"},
		},
	}
}

// completion prints what completes the commands of app in a shell.
func completion() cli.Command {
	return cli.Command{
		Name: "completion", Args: "bash|zsh|fish", Min: 1, Max: 1, Words: cli.Shells,
		Short: "print a program that completes commands and flags in a shell",
		Long: `For bash: source <(rollcall completion bash). For zsh: put it into a folder of $fpath as
_rollcall. For fish: put it into ~/.config/fish/completions/rollcall.fish.`,
		Make: func(*flag.FlagSet) cli.Run {
			return func(_ context.Context, c cli.Call) error {
				text, err := app().Completion(c.Args[0])
				if err == nil {
					_, err = c.Out.WriteString(text)
				}
				return err
			}
		},
	}
}

// Tests: flags_test.go, manual_test.go, script_test.go.
