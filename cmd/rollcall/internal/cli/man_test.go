package cli

import (
	"os/exec"
	"strings"
	"testing"
)

func TestTheManualHasEverything(t *testing.T) {
	a := sample()
	a.Long = "One.\n\nTwo."
	a.Commands[0].Long = "It prints.\n\n  app print -loud 'x'\n\n.hidden \\ line"
	a.Statuses, a.Environment = []Entry{{"0", "done"}}, []Entry{{"APP", "where it is"}}
	man := a.Man()
	for _, want := range []string{
		".TH APP 1", "app \\- a sample\n", ".PP\nOne.\n.PP\nTwo.\n",
		".SS print [A] [B]\n.PP\nPrint.\n.PP\nIt prints.\n.PP\n.nf\n.RS\napp print \\-loud \\(aqx\\(aq\n.RE\n.fi\n.PP\n\\&.hidden \\e line\n",
		".TP\n\\fB\\-times\\fR \\fINUMBER\\fR\nNUMBER of times (default 1).\n", "Common flags: \\-every.\n",
		".SH COMMON FLAGS\n.TP\n\\fB\\-every\\fR \\fIDURATION\\fR\n", ".B 0\nDone.\n", ".B APP\nWhere it is.\n", ".SS help [COMMAND]\n",
	} {
		if !strings.Contains(man, want) {
			t.Errorf("no %q in\n%s", want, man)
		}
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("there is no groff")
	}
	cmd := exec.Command(groff, "-man", "-ww", "-z")
	cmd.Stdin = strings.NewReader(man)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s", err, out)
	}
}
