package history

import (
	"strings"
	"testing"
)

// TestRevisionsMayBeUsedUp: at a revision without a change, no watcher sees one, and no
// more of them are allowed than the test knows of.
func TestRevisionsMayBeUsedUp(t *testing.T) {
	w := newWorld()
	w.do(Register, 0, "a")
	w.revision++
	w.do(Register, 0, "a")
	w.revision += 2
	w.do(Deregister, 1, "a")
	h := w.finish()
	h.Unused = 3
	if err := h.Check(); err != nil {
		t.Error(err)
	}
	h.Unused = 2
	if err := h.Check(); err == nil || !strings.Contains(err.Error(), "no watcher saw the change at revision 105") {
		t.Errorf("with one too many: %v", err)
	}
	h.Unused = 3
	p := &h.Streams[1].Parts[0]
	p.Events = p.Events[1:]
	if err := h.Check(); err == nil || !strings.Contains(err.Error(), "got revision 103 of life") {
		t.Errorf("one watcher has missed a change: %v", err)
	}
}
