package zone

import (
	"slices"
	"strings"
)

// txt is the ready data of a TXT record, for an instance with more than fewPairs of
// meta: to sort them for each question would cost more than the rest of the answer.
type txt struct {
	id   string
	data []byte
}

func (t txt) sortKey() string { return t.id }

// fewPairs is how many pairs are sorted as quickly as ready data is found.
const fewPairs = 4

// appendTXT appends the data of a member's TXT record, see txtStrings.
func (s *service) appendTXT(b []byte, m member) []byte {
	if len(m.Meta) > fewPairs {
		t, _ := s.txts.find(m.ID)
		return append(b, t.data...)
	}
	var room [fewPairs]pair
	return appendPairs(b, m.Meta, room[:0])
}

// withTXT returns txts with the data of a member, or without if it has fewPairs.
func withTXT(txts list[txt], m member) list[txt] {
	if len(m.Meta) <= fewPairs {
		return txts.without(m.ID)
	}
	return txts.with(newTXT(m))
}

func newTXT(m member) txt { return txt{m.ID, appendPairs(nil, m.Meta, nil)} }

// pair is a key of a meta and its value.
type pair struct{ key, value string }

// appendPairs appends the strings of txtStrings. It sorts them in room, if that is
// large enough.
func appendPairs(b []byte, meta map[string]string, room []pair) []byte {
	pairs := room
	for k, v := range meta {
		pairs = append(pairs, pair{k, v})
	}
	if len(pairs) > 1 {
		slices.SortFunc(pairs, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	}
	start := len(b)
	for _, p := range pairs {
		n := len(p.key) + 1 + len(p.value)
		if !txtKey(p.key) || n > 255 || len(b)-start+1+n > maxTXT {
			continue
		}
		b = append(append(append(append(b, byte(n)), p.key...), '='), p.value...)
	}
	if len(b) == start {
		b = append(b, 0)
	}
	return b
}

// Tests: answer_test.go, golden_test.go.
