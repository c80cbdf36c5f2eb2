package child

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain makes the test binary a program that ends with the status in the variable, or
// waits for a signal.
func TestMain(m *testing.M) {
	switch v := os.Getenv("ROLLCALL_TEST_CHILD"); v {
	case "":
		os.Exit(m.Run())
	case "wait", "deaf":
		got := make(chan os.Signal, 1)
		signal.Notify(got, Passed()...)
		os.Stdout.WriteString("ready\n")
		for {
			if <-got; v == "wait" {
				os.Exit(9)
			}
		}
	default:
		n, _ := strconv.Atoi(v)
		os.Exit(n)
	}
}

func run(t *testing.T, what string) *Child {
	t.Helper()
	t.Setenv("ROLLCALL_TEST_CHILD", what)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := Start([]string{exe}, nil, w, nil)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	r.Read(make([]byte, 6)) // until it is ready, or has ended
	return c
}

func TestTheStatusIsThatOfTheProgram(t *testing.T) {
	for _, want := range []int{0, 1, 42} {
		if got := run(t, strconv.Itoa(want)).Status(); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
}

func TestAProgramIsStopped(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals here")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := run(t, "wait")
	if got := c.Stop(ctx); got != 9 {
		t.Errorf("asked to end: status %d, want 9", got)
	}
	if err := c.Signal(Terminate); err != nil {
		t.Errorf("a signal after the end: %v", err)
	}
	cancel()
	if got := run(t, "deaf").Stop(ctx); got != 128+9 {
		t.Errorf("killed: status %d, want 137", got)
	}
}

func TestAProgramThatIsNotThere(t *testing.T) {
	_, err := Start([]string{"no-such-program"}, nil, nil, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "start no-such-program: ") || strings.Count(err.Error(), "no-such-program") != 1 {
		t.Errorf("got %v", err)
	}
	if _, err := Start([]string{t.TempDir()}, nil, nil, nil); err == nil {
		t.Error("a folder was started")
	}
}
