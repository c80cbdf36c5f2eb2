package rpcserver

import (
	"testing"
	"time"
)

// TestPaceOfTheLog: the first lines of each second, and how many were left out.
func TestPaceOfTheLog(t *testing.T) {
	var p pace
	begin := time.Now()
	for _, step := range []struct {
		after time.Duration
		ok    bool
		left  int
	}{
		{0, true, 0},
		{0, true, 0},
		{time.Millisecond, false, 0},
		{999 * time.Millisecond, false, 0},
		{time.Second, true, 2},
		{time.Second, true, 0},
		{time.Second, false, 0},
		{time.Minute, true, 1},
	} {
		if left, ok := p.next(2, begin.Add(step.after)); ok != step.ok || left != step.left {
			t.Errorf("after %v: %v, %d left out; want %v, %d", step.after, ok, left, step.ok, step.left)
		}
	}
}
