package rpcclient

import (
	"testing"
	"time"
)

func TestQuantileFollowsTheCalls(t *testing.T) {
	var l latencies
	now := time.Second
	if _, ok := l.quantile("M", 0.9, now); ok {
		t.Error("known without a call")
	}
	for i := range 1000 {
		l.record("M", time.Duration(i+1)*100*time.Microsecond, now)
	}
	now += quantileFresh
	for _, want := range []struct {
		share float64
		at    time.Duration
	}{{0.5, 50 * time.Millisecond}, {0.9, 90 * time.Millisecond}, {0.98, 98 * time.Millisecond}} {
		got, ok := l.quantile("M", want.share, now)
		if !ok || got < want.at || got > want.at*115/100 {
			t.Errorf("quantile %v is %v, want about %v", want.share, got, want.at)
		}
	}
	// Ten seconds later none of these calls counts.
	now += 2 * latencyWindow
	if d, ok := l.quantile("M", 0.9, now); ok {
		t.Error("old calls count:", d)
	}
	for i := range latencyBuckets - 1 {
		if b := latencyBucket(latencyBound(i) - 1); b > i {
			t.Errorf("bucket %d ends at %v, which is in %d", i, latencyBound(i), b)
		}
	}
}
