package measure

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestQuantiles(t *testing.T) {
	for _, c := range []struct {
		values []int
		q      float64
		want   int
	}{
		{[]int{7}, 0.5, 7},
		{[]int{3, 1, 2}, 0.5, 2},
		{[]int{4, 3, 2, 1}, 0.5, 3},
		{[]int{4, 3, 2, 1}, 0, 1},
		{[]int{4, 3, 2, 1}, 0.99, 4},
		{[]int{4, 3, 2, 1}, 1, 4},
	} {
		if got := Quantile(c.values, c.q); got != c.want {
			t.Errorf("%v of %v is %d, want %d", c.q, c.values, got, c.want)
		}
	}
}

func TestRateCountsWhatIsDoneInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rate, err := Rate(t.Context(), 4, 3*time.Second, func(context.Context, int64) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		})
		if rate != 40 || err != nil {
			t.Errorf("%v operations a second, %v", rate, err)
		}
		failed := errors.New("failed")
		began := time.Now()
		_, err = Rate(t.Context(), 4, time.Hour, func(ctx context.Context, n int64) error {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			if n == 2 {
				return failed
			}
			return nil
		})
		if err != failed || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestAwaitSaysWhyItNeverWorked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		if err := Await(t.Context(), time.Minute, func(context.Context) error {
			if tries++; tries < 5 {
				return errors.New("not yet")
			}
			return nil
		}); err != nil || tries != 5 {
			t.Errorf("%v after %d tries", err, tries)
		}
		err := Await(t.Context(), time.Second, func(context.Context) error { return errors.New("no disk") })
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no disk") {
			t.Error(err)
		}
	})
}

// TestGoToolTellsWhatTheCommandSaid: its exit status alone says nothing.
func TestGoToolTellsWhatTheCommandSaid(t *testing.T) {
	if err := GoTool(t.Context(), t.TempDir(), "build", "./nothing"); err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Error(err)
	}
	if err := GoTool(t.Context(), t.TempDir(), "version"); err != nil {
		t.Error(err)
	}
}
