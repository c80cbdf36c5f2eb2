package dnsd

import (
	"strings"
	"testing"
)

// TestCorefileErrorsHideTheValuesOfVariables: no error shows the value of a variable, in
// whatever place of whatever directive it is.
func TestCorefileErrorsHideTheValuesOfVariables(t *testing.T) {
	for _, secret := range []string{"s3cr3t-Value", "_s3cr3t-Value", "s3cr3t Value", `s3cr3t"Value\`, "s3cr3t-Value.", "10.0.0.0/s3cr3t-Value"} {
		t.Setenv("ROLLCALL_SECRET", secret)
		told := func(text string) {
			err := refusal(t, nil, "Corefile", text)
			if err != nil && strings.Contains(strings.ToLower(err.Error()), "s3cr3t") {
				t.Errorf("%s\nwith %q: %v", text, secret, err)
			}
		}
		const v = "{$ROLLCALL_SECRET}"
		for name := range directives {
			for _, words := range []string{v, v + " x", "x " + v, "x x " + v, "x key " + v, "hmac-sha256 hmac-sha256 " + v, v + " hmac-sha256 AAAA", "5s " + v} {
				told("svc {\n  " + name + " " + words + "\n}\n")
				told("svc {\n  " + name + " {\n    " + words + "\n  }\n}\n")
			}
			for _, sub := range []string{"token", "tls", "to", "min", "rate", "probe", "idle"} {
				told("svc {\n  " + name + " {\n    " + sub + " " + v + "\n  }\n}\n")
				told("svc {\n  " + name + " {\n    " + sub + " x " + v + "\n  }\n}\n")
				told("svc {\n  " + name + " {\n    " + sub + " file " + v + "\n  }\n}\n")
			}
		}
		for name := range insideStore {
			for _, words := range []string{v, v + " x", "x " + v, "x x " + v, "x file " + v} {
				told("svc {\n  store etcd https://10.0.0.1:2379 {\n    " + name + " " + words + "\n  }\n}\n")
				told("svc {\n  store cluster d {\n    peer a https://10.0.0.1:2380\n    " + name + " " + words + "\n  }\n}\n")
			}
		}
		for _, store := range []string{"etcd " + v, "etcd https://10.0.0.1:2379 " + v, "etcd https://root:" + v + "@10.0.0.1:2379", "cluster " + v, "cluster x " + v, "etcd https://10.0.0.1:2379 {\n" + v + "\n}"} {
			told("svc {\n  store " + store + "\n}\n")
		}
		for _, text := range []string{v + " {\n}\n", "svc " + v + " {\n}\n", "svc {\n  import " + v + "\n}\n", "svc {\n  " + v + "\n}\n", "svc {\n  nsid " + v + " }\n", "svc {\n  nsid \"" + v + "\n}\n"} {
			told(text)
		}
	}
}

// TestCorefileRefusesWordsThatWereToBeVariables: taken literally, such a word would be
// a secret that is in every manual.
func TestCorefileRefusesWordsThatWereToBeVariables(t *testing.T) {
	t.Setenv("ROLLCALL_TOKEN", "s3cr3t-Value")
	for _, word := range []string{"$ROLLCALL_TOKEN", "${ROLLCALL_TOKEN}", "{ROLLCALL_TOKEN}", "{{ROLLCALL_TOKEN}}", "{env.ROLLCALL_TOKEN}", "{$}", "{$ROLLCALL_TOKEN", "{%ROLLCALL_TOKEN}", "x${ROLLCALL_TOKEN}", "{$ROLLCALL_TOKEN}{$"} {
		_, err := ParseCorefile("Corefile", []byte("svc {\n  hook {\n    token "+word+" read\n  }\n}\n"))
		if want := "Corefile:3: a word looks like an environment variable"; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", word, err, want)
		}
	}
	for _, word := range []string{"{$ROLLCALL_TOKEN}", "x{$ROLLCALL_TOKEN}y", "pa$$word", "a{b}c", "100%"} {
		if _, err := ParseCorefile("Corefile", []byte("svc {\n  hook {\n    token "+word+" read\n  }\n}\n")); err != nil {
			t.Errorf("%s: %v", word, err)
		}
	}
}

// TestCorefileQuoteLeftOpenIsToldWithoutWhatFollows: the quoted word would contain the
// following lines, with their secrets.
func TestCorefileQuoteLeftOpenIsToldWithoutWhatFollows(t *testing.T) {
	for _, text := range []string{
		"svc {\n  nsid \"a\n  tsig k. hmac-sha256 c2VjcmV0\n}\n", "svc {\n  nsid \"a", "svc {\n  nsid \"a\n  tsig \"k.\" hmac-sha256 c2VjcmV0\n}\n",
		"svc {\n  nsid \"a\\\"\n  tsig k. hmac-sha256 c2VjcmV0\n}\n",
	} {
		_, err := ParseCorefile("Corefile", []byte(text))
		if err == nil || err.Error() != "Corefile:2: a double quote is not closed on its line" {
			t.Errorf("%s\ngot %v", text, err)
		}
	}
}

// TestCorefileErrorInAnImportedBlockNamesItsFile: the head of the block is not in the
// Corefile.
func TestCorefileErrorInAnImportedBlockNamesItsFile(t *testing.T) {
	c, err := ReadCorefile(files(t, map[string]string{"Corefile": "import b*\n", "b1": "svc {\n  hook 127.0.0.1:0\n}\n", "b2": "\n\nsvc {\n  hook 127.0.0.1:0\n}\n"}))
	if err != nil {
		t.Fatal(err)
	}
	if err = c.Check(); err == nil || !strings.Contains(err.Error(), "b2:4: zone svc.: svc. is listed twice") {
		t.Errorf("got %v", err)
	}
}
