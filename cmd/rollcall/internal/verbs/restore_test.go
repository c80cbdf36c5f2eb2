package verbs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/hook"
	"github.com/rollcall-dns/rollcall/register"
)

// copyFile is a copy of one instance.
func copyFile(t *testing.T) string {
	t.Helper()
	lines := `{"format":"rollcall-snapshot-1","zone":"svc.","life":"1","revision":1,"time":"2026-11-28T10:00:00Z","instances":1,"fences":0}` + "\n" +
		`{"instance":{"service":"_math._tcp","id":"a1","host":"127.0.0.1","port":1}}` + "\n"
	file := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(file, fmt.Appendf(nil, "%s{\"sha256\":\"%x\"}\n", lines, sha256.Sum256([]byte(lines))), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// problemOf answers with a refusal.
func problemOf(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", register.ProblemType)
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// broken is a hook that closes the connection after it has read the request.
func broken(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	panic(http.ErrAbortHandler)
}

// gone is the URL of a hook that has ended.
func gone() string {
	s := httptest.NewServer(nil)
	defer s.Close()
	return s.URL
}

// TestWhatARestoreThatFailsHasDone is said only where it is known.
func TestWhatARestoreThatFailsHasDone(t *testing.T) {
	const unknown, nothing = "it is not known whether a part of it was restored: repeat it with -add", "othing was restored"
	for name, tt := range map[string]struct {
		hook http.HandlerFunc // nil: there is none
		want string
	}{
		"refused":        {problemOf(403, `{"detail":"no"}`), nothing},
		"no connection":  {nil, nothing},
		"no answer":      {broken, unknown},
		"half an answer": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"revision":7,`) }, unknown},
		"another zone":   {problemOf(409, `{"field":"zone","detail":"of another zone"}`), "-other-zone restores it here"},
		"an older dnsd":  {problemOf(400, `{"field":"zone","detail":"unknown field \"zone\": the fields are lines"}`), "Nothing was restored; this dnsd is older than this command: -other-zone leaves the field out"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := gone()
			if tt.hook != nil {
				s := httptest.NewServer(tt.hook)
				defer s.Close()
				url = s.URL
			}
			var errs bytes.Buffer
			status := app().Main(t.Context(), []string{"restore", "-add", "-hook", url, copyFile(t)}, cli.Streams{Out: io.Discard, Err: &errs})
			if status == 0 || !strings.Contains(errs.String(), tt.want) || tt.want == unknown && strings.Contains(errs.String(), nothing) {
				t.Errorf("status %d, %s", status, &errs)
			}
		})
	}
}

// TestARestoreRemembersATryWithoutAnAnswer: the refusal after it says nothing of it.
func TestARestoreRemembersATryWithoutAnAnswer(t *testing.T) {
	first, second := httptest.NewServer(http.HandlerFunc(broken)), httptest.NewServer(problemOf(403, `{"detail":"no"}`))
	defer first.Close()
	defer second.Close()
	client, err := hook.New(hook.Config{Hooks: first.URL, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	r := &restoring{}
	if _, err := r.send(t.Context(), client, io.Discard, []byte(`{}`)); err == nil {
		t.Fatal("no error")
	}
	if client, err = hook.New(hook.Config{Hooks: second.URL, Timeout: time.Minute}); err != nil {
		t.Fatal(err)
	}
	_, err = r.send(t.Context(), client, io.Discard, []byte(`{}`))
	if err := r.brokenOff(err, restoreOutcome{}); !strings.Contains(err.Error(), "it is not known") {
		t.Error(err)
	}
}

// TestARestoreWaitsForAWriter: the hook of the one that died refuses connections, and the
// others follow until one is elected.
func TestARestoreWaitsForAWriter(t *testing.T) {
	elected := false
	follower := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !elected {
			problemOf(421, `{"detail":"this dnsd follows"}`)(w, r)
			return
		}
		fmt.Fprint(w, `{"revision":7,"restored":2,"kept":1}`)
	}))
	defer follower.Close()
	for name, tt := range map[string]struct {
		hooks  string
		after  int // pauses, until a writer is elected
		paused int
		err    string
	}{
		"elected":               {gone() + "," + follower.URL, 3, 3, ""},
		"never":                 {gone() + "," + follower.URL, 100, 9, "of trying again"},
		"one that is no writer": {follower.URL, 0, 0, "this dnsd follows"},
	} {
		elected = false
		client, err := hook.New(hook.Config{Hooks: tt.hooks, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		paused := 0
		r := &restoring{pause: func(context.Context, time.Duration) error {
			paused++
			elected = paused == tt.after
			return nil
		}}
		part, err := r.send(t.Context(), client, io.Discard, []byte(`{}`))
		if paused != tt.paused || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) || err == nil && part.Restored != 2 {
			t.Errorf("%s: %d pauses, %+v, %v", name, paused, part, err)
		}
		if r.doubt {
			t.Errorf("%s: no try was stored, and that is not known", name)
		}
	}
}

// TestARestoreNamesTheWriter: one hook alone, of a dnsd that follows.
func TestARestoreNamesTheWriter(t *testing.T) {
	const follows = `{"detail":"this dnsd follows: send it to the hook of the writer, which GET /v1/cluster names"}`
	for name, tt := range map[string]struct {
		cluster, want string
	}{
		"a writer":       {`{"name":"b","writer":"a","members":[{"name":"b","hook":"http://10.0.0.2:8053"},{"name":"a","hook":"http://10.0.0.1:8053"}],"etcd":{"inside":true}}`, "the writer is a: give its hook, -hook http://10.0.0.1:8053, or those of all dnsd; nothing was restored"},
		"none":           {`{"name":"b","writer":"","members":[{"name":"b"}],"etcd":{"inside":true}}`, "no writer is known now: give the hooks of all dnsd with -hook"},
		"the same hook":  {`{"name":"b","writer":"a","members":[{"name":"b","hook":"SELF"},{"name":"a","hook":"SELF"}],"etcd":{"inside":true}}`, "the writer is a, and names a hook that is another dnsd from here: run this on the machine of a"},
		"no hook":        {`{"name":"b","writer":"a","members":[{"name":"b"},{"name":"a"}],"etcd":{"inside":true}}`, "the writer is a, whose hook is not known"},
		"another reason": {"", "GET /v1/cluster names; nothing was restored"},
	} {
		hook := http.NewServeMux()
		hook.Handle("POST /v1/snapshot", problemOf(421, follows))
		hook.HandleFunc("GET /v1/cluster", func(w http.ResponseWriter, r *http.Request) {
			if tt.cluster == "" {
				problemOf(421, `{"detail":"it requires TLS"}`)(w, r)
				return
			}
			fmt.Fprint(w, strings.ReplaceAll(tt.cluster, "SELF", "http://"+r.Host))
		})
		s := httptest.NewServer(hook)
		var errs bytes.Buffer
		status := app().Main(t.Context(), []string{"restore", "-add", "-hook", s.URL, copyFile(t)}, cli.Streams{Out: io.Discard, Err: &errs})
		s.Close()
		if status == 0 || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%s: status %d, %s", name, status, &errs)
		}
	}
}

// TestARestoreNamesTheHookThatHasInstances, which may be another one than the first.
func TestARestoreNamesTheHookThatHasInstances(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "# TYPE rollcall_registry_instances gauge\nrollcall_registry_instances{state=\"up\"} 3\n")
	}))
	defer s.Close()
	var errs bytes.Buffer
	status := app().Main(t.Context(), []string{"restore", "-hook", gone() + "," + s.URL, copyFile(t)}, cli.Streams{Out: io.Discard, Err: &errs})
	if status != cli.Failed || !strings.Contains(errs.String(), "hook "+s.URL+": 3 instances are registered there") {
		t.Errorf("status %d, %s", status, &errs)
	}
}

// TestWhatMayHaveBeenStored: each of several hooks counts.
func TestWhatMayHaveBeenStored(t *testing.T) {
	refusal := fmt.Errorf("hook: %w", &register.Problem{Status: 421})
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"none":                 {nil, false},
		"refusals":             {errors.Join(refusal, refusal), false},
		"a timeout, a refusal": {errors.Join(fmt.Errorf("hook: %w", context.DeadlineExceeded), refusal), true},
	} {
		if got := stored(tt.err); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
