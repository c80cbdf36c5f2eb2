package peertest

import "testing"

func TestPeakMemoryIsOfTheProcess(t *testing.T) {
	before, err := PeakMemory(0)
	if err != nil || before < 1<<20 {
		t.Fatal(before, err)
	}
	b := make([]byte, 64<<20)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	if after, err := PeakMemory(0); err != nil || after < 64<<20 {
		t.Errorf("%d bytes with %d in use, %v", after, len(b), err)
	}
	if _, err := PeakMemory(1 << 30); err == nil {
		t.Error("a process that does not exist has memory")
	}
}
