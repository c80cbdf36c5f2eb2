package zone

import (
	"slices"
	"strings"
)

// txt is the data of a TXT record, ready because its meta has more than
// fewPairs: to sort them for each question would cost more than all else.
type txt struct {
	id   string
	data []byte
}

func (t txt) sortKey() string { return t.id }

// fewPairs are put in order as quickly as they are found ready.
const fewPairs = 4

// appendTXT appends the data of a member's TXT record, see txtStrings.
func (s *service) appendTXT(b []byte, m member) []byte {
	if len(m.Meta) > fewPairs {
		t, _ := s.txts.find(m.ID)
		return append(b, t.data...)
	}
	var room [fewPairs]string
	return appendPairs(b, m.Meta, room[:0])
}

// withTXT returns the txts in which that of a member is as it has to be.
func withTXT(txts list[txt], m member) list[txt] {
	if len(m.Meta) <= fewPairs {
		return txts.without(m.ID)
	}
	return txts.with(newTXT(m))
}

func newTXT(m member) txt { return txt{m.ID, appendPairs(nil, m.Meta, nil)} }

// appendPairs appends the strings of txtStrings. The keys are put in order in
// room, or where that does not do, elsewhere.
func appendPairs(b []byte, meta map[string]string, room []string) []byte {
	keys := room
	for k := range meta {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	start := len(b)
	for _, k := range keys {
		v := meta[k]
		n := len(k) + 1 + len(v)
		if !txtKey(k) || n > 255 || len(b)-start+1+n > maxTXT {
			continue
		}
		b = append(append(append(append(b, byte(n)), k...), '='), v...)
	}
	if len(b) == start {
		b = append(b, 0)
	}
	return b
}
