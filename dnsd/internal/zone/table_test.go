package zone

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestTableFindsWhatIsIn enters and removes services at random.
func TestTableFindsWhatIsIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := newTable(0)
		model := make(map[string]*service)
		name := func(i int) string {
			if i%5 == 0 {
				return fmt.Sprintf("a-name-beyond-fifteen-%d", i)
			}
			return fmt.Sprintf("s%d", i)
		}
		for range rapid.IntRange(1, 400).Draw(t, "changes") {
			i := rapid.IntRange(0, 150).Draw(t, "i")
			key := "_" + name(i) + []string{"._tcp", "._udp"}[i%2]
			s := &service{key: key}
			if model[key] != nil && rapid.Bool().Draw(t, "remove") {
				table.remove(s)
				delete(model, key)
			} else {
				table = table.put(s)
				model[key] = s
			}
		}
		for i := range 151 {
			for _, udp := range []bool{false, true} {
				key := "_" + name(i) + []string{"._tcp", "._udp"}[btoi(udp)]
				e := table.find([]byte(name(i)), udp)
				if want := model[key]; (e == nil) != (want == nil) || e != nil && e.service != want {
					t.Fatalf("find %s: %v, want %v", key, e, want)
				}
			}
		}
		if table.live != len(model) || table.used*2 > len(table.slots) {
			t.Fatalf("the table counts %d live and %d used of %d slots, want %d live", table.live, table.used, len(table.slots), len(model))
		}
	})
}
