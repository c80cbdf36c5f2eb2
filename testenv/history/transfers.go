package history

import (
	"fmt"
	"slices"
	"strings"
)

// checkTransfers compares zones with equal serials, and each zone with the registry.
func (h *History) checkTransfers(r *report, lives []*timeline) {
	type at struct {
		life   int
		serial uint32
	}
	first := map[at]*Transfer{}
	highest := map[int]uint64{} // by dnsd
	told := map[at]bool{}
	for i := range h.Transfers {
		x := &h.Transfers[i]
		k := at{x.Life, x.Serial}
		if other := first[k]; other == nil {
			first[k] = x
			h.checkZone(r, lifeOf(lives, x.Life), x)
		} else if !slices.Equal(other.Records, x.Records) && !told[k] {
			told[k] = true
			r.addf("the zones of dnsd %d and %d differ at serial %d: %s", other.At, x.At, x.Serial, difference(other.Records, x.Records))
		}
		t := lifeOf(lives, x.Life)
		if t == nil {
			continue
		}
		revision, ok := t.revisionOf(x.Serial)
		switch {
		case !ok:
			r.addf("dnsd %d sends a zone with serial %d, which no revision has", x.At, x.Serial)
		case revision < highest[x.At]:
			r.addf("dnsd %d sends a zone with serial %d, after one with %d", x.At, x.Serial, uint32(highest[x.At]))
		default:
			highest[x.At] = revision
		}
	}
}

// revisionOf is the revision of which a serial is the low 32 bits.
func (t *timeline) revisionOf(serial uint32) (uint64, bool) {
	revision := t.base + uint64(serial-uint32(t.base))
	return revision, revision <= t.end()
}

// checkZone compares the TXT records of the clients' instances with the registry.
func (h *History) checkZone(r *report, t *timeline, x *Transfer) {
	if t == nil {
		return
	}
	revision, ok := t.revisionOf(x.Serial)
	if !ok {
		return // told by the caller
	}
	var want []string
	for _, l := range t.listedAt(revision) {
		if !l.Drained {
			want = append(want, l.ID+" "+l.Value)
		}
	}
	suffix := "." + h.Service + "." + h.Zone
	var have []string
	for _, record := range x.Records {
		name, rest, _ := strings.Cut(record, "\t")
		if id, ok := strings.CutSuffix(name, suffix); ok && strings.Contains(rest, "\tTXT\t") {
			have = append(have, id+" "+valueOf(rest[strings.LastIndex(rest, "\t")+1:]))
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		r.addf("the zone of dnsd %d with serial %d has %v; the registry has %v", x.At, x.Serial, have, want)
	}
}

// mark is the key of a registration's metadata that has its value.
const mark = "write"

// valueOf finds the value in the texts of a TXT record.
func valueOf(texts string) string {
	for text := range strings.FieldsSeq(texts) {
		if v, ok := strings.CutPrefix(strings.Trim(text, `"`), mark+"="); ok {
			return v
		}
	}
	return ""
}

// difference shows the first records in which two zones differ.
func difference(a, b []string) string {
	for i := range max(len(a), len(b)) {
		left, right := "nothing", "nothing"
		if i < len(a) {
			left = a[i]
		}
		if i < len(b) {
			right = b[i]
		}
		if left != right {
			return fmt.Sprintf("record %d is %q and %q", i, left, right)
		}
	}
	return "not at all"
}

// Tests: check_test.go.
