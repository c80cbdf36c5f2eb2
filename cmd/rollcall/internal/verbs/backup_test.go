//go:build unix

package verbs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/hook"
	"github.com/rollcall-dns/rollcall/register"
)

// TestAnInterruptedBackupLeavesNoFile: neither the copy nor the hidden file that it was
// written to.
func TestAnInterruptedBackupLeavesNoFile(t *testing.T) {
	heedSignals()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		dir := t.TempDir()
		seen := make(chan int, 1)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, `{"format":"rollcall-snapshot-1","zone":"svc.","instances":1}`)
			w.(http.Flusher).Flush()
			files, _ := os.ReadDir(dir)
			seen <- len(files)
			if err := syscall.Kill(os.Getpid(), sig); err != nil {
				t.Error(err)
			}
			<-r.Context().Done()
		}))
		var errs bytes.Buffer
		status := app().Main(t.Context(), []string{"backup", "-hook", s.URL, filepath.Join(dir, "copy")}, cli.Streams{Out: io.Discard, Err: &errs})
		s.Close()
		if status != cli.Failed || <-seen != 1 {
			t.Errorf("%v: status %d, %s", sig, status, &errs)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
			t.Errorf("%v: %v is there, %v", sig, files, err)
		}
	}
}

// TestARestoreWaitsAsDnsdAsks, and not for ever.
func TestARestoreWaitsAsDnsdAsks(t *testing.T) {
	refuse := func(w http.ResponseWriter, status int, after string) {
		w.Header().Set("Content-Type", register.ProblemType)
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, `{"detail":"not now"}`)
	}
	for name, tt := range map[string]struct {
		answers []func(http.ResponseWriter) // the last one again and again
		paused  []time.Duration             // at least
		want    string                      // in the error
	}{
		"at once": {[]func(http.ResponseWriter){nil}, nil, ""},
		"429, then 503": {[]func(http.ResponseWriter){
			func(w http.ResponseWriter) { refuse(w, 429, "3") }, func(w http.ResponseWriter) { refuse(w, 503, "1") }, nil,
		}, []time.Duration{3 * time.Second, 2 * time.Second}, ""},
		"without a pause":  {[]func(http.ResponseWriter){func(w http.ResponseWriter) { refuse(w, 503, "") }}, nil, "not now"},
		"another refusal":  {[]func(http.ResponseWriter){func(w http.ResponseWriter) { refuse(w, 507, "1") }}, nil, "507"},
		"for ever":         {[]func(http.ResponseWriter){func(w http.ResponseWriter) { refuse(w, 503, "15") }}, []time.Duration{15 * time.Second, 15 * time.Second, 15 * time.Second, 15 * time.Second}, "after 1m0s of trying again"},
		"a pause of years": {[]func(http.ResponseWriter){func(w http.ResponseWriter) { refuse(w, 503, "2000000000") }}, nil, "not now"},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer := tt.answers[min(n, len(tt.answers)-1)]
				if n++; answer != nil {
					answer(w)
					return
				}
				fmt.Fprint(w, `{"revision":7,"restored":2,"kept":1}`)
			}))
			defer s.Close()
			client, err := hook.New(hook.Config{Hooks: s.URL, Timeout: scriptPatience})
			if err != nil {
				t.Fatal(err)
			}
			var paused []time.Duration
			r := &restoring{pause: func(_ context.Context, d time.Duration) error { paused = append(paused, d); return nil }}
			var errs bytes.Buffer
			part, err := r.send(t.Context(), client, &errs, []byte(`{"lines":[]}`))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) || err == nil && part.Restored != 2 {
				t.Errorf("%+v, %v", part, err)
			}
			if len(paused) != len(tt.paused) || strings.Count(errs.String(), "not now") != len(paused) {
				t.Fatalf("paused %v, want %v; it says\n%s", paused, tt.paused, &errs)
			}
			for i, d := range paused {
				if d < tt.paused[i] || d > tt.paused[i]*3/2 {
					t.Errorf("pause %d: %v, want %v or a little more", i, d, tt.paused[i])
				}
			}
		})
	}
}

// TestARestoreThatIsStoppedSaysHowFarItCame.
func TestARestoreThatIsStoppedSaysHowFarItCame(t *testing.T) {
	r := &restoring{}
	err := r.brokenOff(errors.New("cause"), restoreOutcome{Restored: 3})
	if want := "cause; 3 instances were restored until then, and the restore may be repeated with -add"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := pause(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
