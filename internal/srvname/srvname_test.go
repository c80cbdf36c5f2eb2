package srvname

import (
	"strings"
	"testing"
)

func TestServiceIsTwoLabelsOrTheErrorSaysHowToWriteIt(t *testing.T) {
	for s, want := range map[string]string{
		"_math._tcp":                            "",
		"_m-2._udp":                             "",
		"_" + strings.Repeat("a", 62) + "._tcp": "",
		"":                                      `"_math._tcp"`,
		"_math-._tcp":                           "hyphen", "_-math._tcp": "hyphen", "_ma\x00._tcp": "only a-z", "_mäth._tcp": "only a-z",
		"_math._tcp.": "end with a dot", "_math._tcp.svc": `zone "svc"`, "_3com._tcp": "", "_123._tcp": "", "_a--b._tcp": "", "_abcdefghijklmnop._tcp": "",
		"math":                                  `write "_math._tcp"`,
		"_math":                                 `write "_math._tcp"`,
		"math.tcp":                              `"_math._tcp"`,
		"math._tcp":                             `"_math._tcp"`,
		"_Math._tcp":                            `write "_math._tcp"`,
		"_math._tcp.svc.":                       `write "_math._tcp"`,
		"_math._sctp":                           `_name._tcp or _name._udp`,
		"_._tcp":                                "after the underscore",
		"_" + strings.Repeat("a", 63) + "._tcp": "at most 62 characters",
		"_ma_th._tcp":                           "only a-z",
	} {
		err := CheckService(s)
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", s, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, want %s", s, err, want)
		}
	}
}

func TestLabel(t *testing.T) {
	for s, want := range map[string]string{
		"a": "", "a-1": "", "0": "", strings.Repeat("a", 63): "",
		"": "empty", "-a": "hyphen", "a-": "hyphen", "A": "lower case", "a.b": "only a-z", "ä": "only a-z", strings.Repeat("a", 64): "at most 63",
	} {
		if got := LabelProblem(s); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}
