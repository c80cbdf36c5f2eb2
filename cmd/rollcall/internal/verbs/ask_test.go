package verbs

import (
	"testing"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
)

func TestNamesOfInstances(t *testing.T) {
	for _, tc := range []struct {
		args        []string
		service, id string
		err         string
	}{
		{[]string{"_math._tcp", "a1"}, "_math._tcp", "a1", ""},
		{[]string{"_math._tcp/a1"}, "_math._tcp", "a1", ""},
		{[]string{"_math._tcp"}, "", "", "the id of the instance is missing; write SERVICE ID"},
		{[]string{"math", "a1"}, "", "", `bad service "math"; did you mean _math._tcp?`},
		{[]string{"_math._tcp/a1/x"}, "", "", `bad id "a1/x": it has '/': only a-z, 0-9 and - are allowed`},
		{[]string{"_math._tcp", ""}, "", "", `bad id "": it must not be empty`},
	} {
		service, id, err := instanceOf(tc.args)
		if tc.err != "" {
			if err == nil || err.Error() != tc.err || cli.Status(err) != cli.Usage {
				t.Errorf("%q: error %v, want %s", tc.args, err, tc.err)
			}
			continue
		}
		if err != nil || service != tc.service || id != tc.id {
			t.Errorf("%q: got %s %s %v", tc.args, service, id, err)
		}
	}
}
