package resolver

import "testing"

func TestWeightsOfMergedRecordsAddUp(t *testing.T) {
	t.Parallel()
	got := arrange([]Endpoint{
		{Addr: "x:1", Target: "b.", Priority: 1, Weight: 65000},
		{Addr: "x:1", Target: "c.", Priority: 0, Weight: 40000},
		{Addr: "x:1", Target: "a.", Priority: 0, Weight: 10000},
		{Addr: "x:1", Target: "a.", Priority: 0, Weight: 10000}, // the same record, through an alias
		{Addr: "y:1", Target: "a.", Priority: 0, Weight: 1},
		{Addr: "y:1", Target: "b.", Priority: 0, Weight: 65535},
	})
	want := []Endpoint{
		{Addr: "x:1", Target: "a.", Priority: 0, Weight: 50000},
		{Addr: "y:1", Target: "a.", Priority: 0, Weight: 65535},
	}
	if !(State{Endpoints: want}).sameNews(State{Endpoints: got}) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
