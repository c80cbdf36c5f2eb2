package registry

import (
	"slices"
	"testing"
	"time"
)

func TestDurationsAreCountedInTheirBuckets(t *testing.T) {
	var d durations
	bounds := DurationBounds()
	if len(d.counts) != len(bounds)+1 || !slices.IsSorted(bounds) {
		t.Fatalf("%d buckets for the bounds %v", len(d.counts), bounds)
	}
	for i, bound := range bounds {
		d.add(bound) // a bound belongs to its own bucket
		for range i {
			d.add(bound + 1)
		}
	}
	got := d.read()
	want := []uint64{1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9}
	if !slices.Equal(got.Counts, want) {
		t.Errorf("counts %v, want %v", got.Counts, want)
	}
	sum := time.Duration(0)
	for i, bound := range bounds {
		sum += bound + time.Duration(i)*(bound+1)
	}
	if got.Sum != sum {
		t.Errorf("sum %v, want %v", got.Sum, sum)
	}
}
