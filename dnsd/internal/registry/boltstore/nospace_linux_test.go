package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

const fullEnv = "ROLLCALL_FULL_DISK" // "limit DIR" or "mount DIR": the space that the child fills

// TestFullDiskIsToldAndOutlived fills the disk. A registration for which there is no
// room gets ErrNoSpace and changes nothing, and renewals go on. When there is room
// again, registrations work, and a restart finds exactly what was acknowledged.
func TestFullDiskIsToldAndOutlived(t *testing.T) {
	if job := os.Getenv(fullEnv); job != "" {
		how, dir, _ := strings.Cut(job, " ")
		if err := fullChild(how, dir); err != nil {
			fmt.Println("failed:", err)
		}
		return
	}
	for _, how := range []string{"limit", "mount"} {
		t.Run(how, func(t *testing.T) {
			child := exec.Command(os.Args[0], "-test.run=^TestFullDiskIsToldAndOutlived$")
			child.Env = append(os.Environ(), fullEnv+"="+how+" "+tempDir(t))
			if how == "mount" { // on a small file system that only the child sees
				child.SysProcAttr = &syscall.SysProcAttr{
					Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
					UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
					GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
				}
			}
			out, err := child.CombinedOutput()
			if how == "mount" && (err != nil && len(out) == 0 || strings.Contains(string(out), "mount:")) {
				t.Skipf("no mounts of one's own here: %v %s", err, out)
			}
			if err != nil || !strings.Contains(string(out), "outlived") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func fullChild(how, dir string) error {
	const room = 512 << 10
	var more func() error
	switch how {
	case "limit": // no file may grow beyond room
		signal.Ignore(syscall.SIGXFSZ)
		old := syscall.Rlimit{}
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			return err
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: room, Max: old.Max}); err != nil {
			return err
		}
		more = func() error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old) }
	case "mount":
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", 2*room)); err != nil {
			return fmt.Errorf("mount: %w", err)
		}
		ballast := filepath.Join(dir, "ballast")
		if err := os.WriteFile(ballast, make([]byte, room), 0o600); err != nil {
			return err
		}
		more = func() error { return os.Remove(ballast) }
	}

	ctx := context.Background()
	path := filepath.Join(dir, "svc.db")
	r, err := tryOpen(path)
	if err != nil {
		return err
	}
	acknowledged := 0
	register := func() error {
		in := instance(fmt.Sprintf("a%d", acknowledged))
		in.Meta = map[string]string{"a": strings.Repeat("v", 250), "b": strings.Repeat("v", 250), "c": strings.Repeat("v", 250)}
		_, err := r.Register(ctx, in)
		if err == nil {
			acknowledged++
		}
		return err
	}
	for err == nil && acknowledged < 9000 {
		err = register()
	}
	if !errors.Is(err, registry.ErrNoSpace) || !strings.Contains(err.Error(), path) {
		return fmt.Errorf("after %d registrations: %w, want ErrNoSpace and %s", acknowledged, err, path)
	}
	for range 3 {
		if err := register(); err == nil {
			break // a smaller registration may still fit
		} else if !errors.Is(err, registry.ErrNoSpace) {
			return fmt.Errorf("once more: %w", err)
		}
	}
	if n := r.Stats().Instances; n != acknowledged {
		return fmt.Errorf("%d published, %d acknowledged", n, acknowledged)
	}
	if _, err := r.Renew(ctx, instance("a0").Key, 0); err != nil {
		return fmt.Errorf("renewal: %w", err)
	}
	if err := more(); err != nil {
		return err
	}
	for range 10 {
		if err := register(); err != nil {
			return fmt.Errorf("with room again: %w", err)
		}
	}
	revision := r.Revision()
	if err := r.Close(); err != nil {
		return err
	}
	if r, err = tryOpen(path); err != nil {
		return err
	}
	defer r.Close()
	if n := r.Stats().Instances; n != acknowledged || r.Revision() <= revision {
		return fmt.Errorf("after a restart %d instances at revision %d, acknowledged %d at %d", n, r.Revision(), acknowledged, revision)
	}
	fmt.Println("outlived")
	return nil
}
