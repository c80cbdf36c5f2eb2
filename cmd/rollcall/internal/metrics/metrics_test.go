package metrics

import (
	"maps"
	"strings"
	"testing"
)

const text = `# HELP rollcall_dns_answers_total Answers.
# TYPE rollcall_dns_answers_total counter
rollcall_dns_answers_total{listener="127.0.0.1:5300",type="SRV"} 7
rollcall_dns_answers_total{listener="[::1]:5300",type="A",} 3.5 1700000000

rollcall_registry_revision 2.8060223024e+10
odd{a="x\"y\\z\n"} NaN
`

func TestTextIsRead(t *testing.T) {
	s, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if sum, ok := s.Sum("rollcall_dns_answers_total"); !ok || sum != 10.5 {
		t.Errorf("sum %v %v", sum, ok)
	}
	if _, ok := s.Sum("rollcall_dns_answers"); ok {
		t.Error("part of a name was found")
	}
	if by := s.By("rollcall_dns_answers_total", "listener"); !maps.Equal(by, map[string]float64{"127.0.0.1:5300": 7, "[::1]:5300": 3.5}) {
		t.Errorf("got %v", by)
	}
	if got := s[len(s)-1].Labels["a"]; got != "x\"y\\z\n" {
		t.Errorf("got %q", got)
	}
}

func TestWhatIsNoMetricIsAnError(t *testing.T) {
	for text, want := range map[string]string{
		"<html>":            `metrics: line 1: "<html>" is no sample`,
		"\na x":             `metrics: line 2: a: bad value "x"`,
		`a{b="c} 1`:         `metrics: line 1: the value of label "b" has no end`,
		`a{b} 1`:            `metrics: line 1: bad label "b} 1"`,
		`{b="c"} 1`:         `metrics: line 1: "{b=\"c\"} 1" is no sample`,
		`a{b="c"}`:          `metrics: line 1: a: bad value ""`,
		`a{` + "\n":         `metrics: line 1: bad label ""`,
		`a{b="` + "\\\"\n1": `metrics: line 1: the value of label "b" has no end`,
	} {
		if _, err := Parse([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(text))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil && s != nil || len(s) > strings.Count(string(text), "\n")+1 {
			t.Errorf("%d samples of %q, error %v", len(s), text, err)
		}
	})
}
