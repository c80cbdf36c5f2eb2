package verbs

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/show"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/snapshot"
)

const snapshotPath = "/v1/snapshot"

// restoreSize is what one request of a restore has at most. The hook takes 64 KiB.
const restoreSize = 60 << 10

var backup = cli.Command{
	Name: "backup", Args: "FILE", Min: 1, Max: 1,
	Short: "write a copy of all that is registered to a file",
	Long: `dnsd goes on meanwhile: the copy is that of one moment. FILE is written only when the copy
is complete, and only its owner may read it. The token needs the right admin for all
services. See restore.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		return func(ctx context.Context, c cli.Call) error {
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

// checkSnapshot reads a file from its beginning.
func checkSnapshot(f *os.File) (snapshot.Head, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return snapshot.Head{}, err
	}
	return snapshot.Check(f)
}

// restoreOutcome is what restore did.
type restoreOutcome struct {
	Restored int `json:"restored"`
	Kept     int `json:"kept"`
}

var restore = cli.Command{
	Name: "restore", Args: "FILE", Min: 1, Max: 1,
	Short: "register what is missing of a copy that backup wrote",
	Long: `What is registered stays as it is. Leases begin again: an instance whose server is gone is
published for one lease, and then leaves. If many are gone, the guard keeps them longer: see
guard release. The file is checked as a whole before anything is sent. A restore that was
broken off may be repeated. Of several dnsd, the writer does it: give the hooks of all with
-hook. The token needs the right admin for all services.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		a := askFlags(flags)
		return func(ctx context.Context, c cli.Call) error {
			client, err := a.client()
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
			var all restoreOutcome
			for body, err := range snapshot.Parts(f, restoreSize) {
				var part restoreOutcome
				if err == nil {
					err = client.Do(ctx, http.MethodPost, snapshotPath, json.RawMessage(body), &part)
				}
				if err != nil {
					return fmt.Errorf("%w; %d instances were restored until then, and the restore may be repeated", err, all.Restored)
				}
				all.Restored += part.Restored
				all.Kept += part.Kept
			}
			if a.json {
				return show.JSON(c.Out, all)
			}
			fmt.Fprintf(c.Out, "%d instances are restored, as of %s; %d were there, or newer ones of their ids\n", all.Restored, head.Time.Format(time.RFC3339), all.Kept)
			return nil
		}
	},
}

// Tests: script_test.go.
