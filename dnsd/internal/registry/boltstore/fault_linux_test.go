package boltstore_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// faultEnv tells the test binary to be the process whose system calls fail. Its value
// is the path of the store.
const faultEnv = "ROLLCALL_FAULT_CHILD"

// TestStoreAndRegistryAgreeAfterEveryFault makes each write, sync and growth of the
// file fail, once or from then on, in a process that continues with its requests and
// is then killed. After a restart the store holds what the registry answered last. A
// request that was refused has changed nothing.
func TestStoreAndRegistryAgreeAfterEveryFault(t *testing.T) {
	if path := os.Getenv(faultEnv); path != "" {
		faultChild(path)
		return
	}
	strace := needStrace(t)
	for _, c := range []struct{ calls, fails, then string }{ // then is "" if later calls work, "+" if they fail as well
		{"pwrite64", "EIO", ""},
		{"pwrite64", "ENOSPC", "+"},
		{"fdatasync", "EIO", ""},
		{"fdatasync", "EIO", "+"},
		{"fsync", "EIO", ""},
		{"ftruncate", "ENOSPC", "+"},
	} {
		t.Run(c.calls+c.then+"/"+c.fails, func(t *testing.T) {
			t.Parallel()
			hit, agreed := 0, 0
			for n := 1; ; n++ {
				inject := fmt.Sprintf("inject=%s:error=%s:when=%d%s", c.calls, c.fails, n, c.then)
				struck, ok := faultRun(t, strace, inject)
				if !struck {
					break
				}
				hit++
				if ok {
					agreed++
				}
			}
			if hit == 0 {
				t.Error("nothing failed: nothing was tested")
			}
			t.Logf("%d faults, %d with requests answered before or after", hit, agreed)
		})
	}
}

// faultRun runs a child with one fault, restarts it, and compares. struck says that
// the fault occurred.
func faultRun(t *testing.T, strace, inject string) (struck, answered bool) {
	dir := tempDir(t)
	path, trace := filepath.Join(dir, "svc.db"), filepath.Join(dir, "trace")
	cmd := exec.Command(strace, "-f", "-qq", "-o", trace, "-e", "trace=pwrite64,fdatasync,fsync,ftruncate", "-e", inject,
		os.Args[0], "-test.run=^TestStoreAndRegistryAgreeAfterEveryFault$")
	// Under the race detector a program sleeps a second at its end, if it is not told.
	cmd.Env = append(os.Environ(), faultEnv+"="+path, "GORACE=atexit_sleep_ms=0")
	out, err := cmd.Output()
	said := strings.Split(strings.TrimSpace(string(out)), "\n")
	calls, _ := os.ReadFile(trace)
	struck = strings.Contains(string(calls), "(INJECTED)")
	last := said[len(said)-1]
	switch {
	case strings.HasPrefix(last, "no store: "): // the fault occurred before the store was made
		if r, err := tryOpen(path); err != nil {
			t.Errorf("%s: %s; and then %v", inject, last, err)
		} else {
			r.Close()
		}
		return struck, false
	case !strings.HasPrefix(last, "killed "):
		t.Fatalf("%s: child said %q: %v", inject, out, err)
	}
	for _, line := range said {
		if strings.HasPrefix(line, "wrong: ") {
			t.Errorf("%s: %s", inject, line)
		}
	}
	_, view, _ := strings.Cut(last, " ")
	want, owed, _ := strings.Cut(view, " owed")
	r, err := tryOpen(path)
	if err != nil {
		t.Errorf("%s: after the restart: %v", inject, err)
		return struck, false
	}
	defer r.Close()
	// An instance is back if its removal could not be stored.
	got := published(r)
	for id := range strings.FieldsSeq(owed) {
		if !strings.Contains(want, id+"=") {
			delete(got, id)
		}
	}
	if now := viewOf(got); now != want {
		t.Errorf("%s: after the restart\n%s\nbefore it\n%s\n%s", inject, now, want, out)
	}
	return struck, true
}

func viewOf(m map[string]string) string {
	var all []string
	for _, id := range slices.Sorted(maps.Keys(m)) {
		all = append(all, id+"="+m[id])
	}
	return strings.Join(all, ",")
}

// faultChild makes one request after the other, on one thread because strace counts
// calls by thread. It checks that the registry shows what each answer says.
func faultChild(path string) {
	runtime.LockOSThread()
	r, err := tryOpen(path)
	if err != nil {
		fmt.Println("no store:", err)
		os.Exit(0)
	}
	ctx := context.Background()
	want := map[string]string{}
	owed := map[string]bool{}
	step := func(id, value string, err error) {
		if err == nil {
			want[id] = value
			if r.Stats().Unstored == 0 {
				clear(owed)
			}
		}
		if value == "" {
			delete(want, id)
			if err != nil { // it has left the answers, and that is not stored
				owed[id] = true
			}
		}
		if got := viewOf(published(r)); got != viewOf(want) {
			fmt.Printf("wrong: after %s=%q, %v: %s, want %s\n", id, value, err, got, viewOf(want))
		}
	}
	put := func(id string, weight uint16) {
		in := instance(id)
		in.Weight, in.Incarnation = weight, 3
		in.Meta = map[string]string{"a": strings.Repeat("v", 200), "b": strings.Repeat("v", 200), "c": strings.Repeat("v", 200)}
		done, err := r.Register(ctx, in)
		v := ""
		if err == nil {
			v = value(done.Instance)
		} else if l, ok := r.Instance(in.Key); ok {
			v = value(l.Instance)
		} else {
			step(id, "refused", err)
			return
		}
		step(id, v, err)
	}
	gone := func(id string) {
		if _, ok := r.Instance(instance(id).Key); !ok {
			return
		}
		_, err := r.Deregister(ctx, instance(id).Key, nil)
		step(id, "", err)
	}
	for i := range 3 {
		put(fmt.Sprint("a", i), 1)
	}
	put("b1", 1)
	gone("a1")
	put("c1", 1)
	put("a0", 2)
	if l, ok := r.Instance(instance("a0").Key); ok {
		done, err := r.Drain(ctx, l.Key, false)
		if err == nil {
			step("a0", value(done.Instance), nil)
		}
	}
	for i := range 4 { // the file grows
		put(fmt.Sprint("d", i), 1)
	}
	gone("d1")
	put("d2", 2)
	fmt.Println("killed", viewOf(published(r)), "owed", strings.Join(slices.Sorted(maps.Keys(owed)), " "))
	os.Exit(0) // without closing anything
}
