package verbs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/child"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/show"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/snapshot"
)

const snapshotPath = "/v1/snapshot"

var backup = cli.Command{
	Name: "backup", Args: "FILE", Min: 1, Max: 1,
	Short: "write a copy of all that is registered to a file",
	Long: `dnsd goes on meanwhile: the copy is that of one moment. FILE is written only when the copy
is complete, and only its owner may read it. The token needs the right admin for all
services. See restore.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		return func(ctx context.Context, c cli.Call) error {
			ctx, stop := untilSignal(ctx) // the unfinished file is removed
			defer stop()
			client, err := a.client()
			if err != nil {
				return err
			}
			path := c.Args[0]
			f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // with mode 0600
			if err != nil {
				return err
			}
			defer os.Remove(f.Name()) // after the renaming there is none
			defer f.Close()
			if err := client.Copy(ctx, snapshotPath, f); err != nil {
				return err
			}
			head, err := checkSnapshot(f)
			if err != nil {
				return fmt.Errorf("what the hook sent is no whole snapshot: %w; try again", err)
			}
			if err := errors.Join(f.Sync(), f.Close()); err != nil {
				return err // an older FILE stays
			}
			if err := os.Rename(f.Name(), path); err != nil {
				return err
			}
			if a.json {
				return show.JSON(c.Out, head)
			}
			fmt.Fprintf(c.Out, "%s has %d instances and %d fences of zone %s, revision %d\n", path, head.Instances, head.Fences, show.Clean(head.Zone), head.Revision)
			return nil
		}
	},
}

// untilSignal is a context that ends at Ctrl-C or when the process shall end, but not at
// what this process was started to ignore, as by nohup. A second signal ends the process
// at once.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, child.Ending()...)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// checkSnapshot reads a file from its beginning.
func checkSnapshot(f *os.File) (snapshot.Head, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return snapshot.Head{}, err
	}
	return snapshot.Check(f)
}

// Tests: backup_test.go, script_test.go.
