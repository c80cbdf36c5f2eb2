package kv

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckOfATransaction(t *testing.T) {
	limits := Limits{Ops: 2, Bytes: 10}
	put := func(key, value string) Op { return Op{Key: key, Value: []byte(value)} }
	for _, c := range []struct {
		name     string
		txn      Txn
		tooLarge bool
		says     string // "" is no error
	}{
		{name: "nothing"},
		{name: "as large as can be", txn: Txn{If: []Compare{{Key: "a"}, {Key: "a"}}, Then: []Op{put("b", "123"), put("c", "123")}}},
		{name: "an octet more", txn: Txn{If: []Compare{{Key: "ab"}, {Key: "a"}}, Then: []Op{put("b", "123"), put("c", "123")}}, tooLarge: true, says: "11 octets"},
		{name: "too many operations", txn: Txn{Then: []Op{put("a", ""), put("b", ""), put("c", "")}}, tooLarge: true, says: "3 operations"},
		{name: "too many conditions", txn: Txn{If: make([]Compare, 3)}, tooLarge: true, says: "3 conditions"},
		{name: "a key twice", txn: Txn{Then: []Op{put("a", "1"), {Key: "a", Delete: true}}}, says: `key "a" is twice`},
		{name: "an operation without a key", txn: Txn{Then: []Op{put("", "1")}}, says: "an operation of the transaction has no key"},
		{name: "a condition without a key", txn: Txn{If: make([]Compare, 1)}, says: "a condition of the transaction has no key"},
	} {
		err := c.txn.Check(limits)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: the error is %v, without %q", c.name, err, c.says)
		case errors.Is(err, ErrTooLarge) != c.tooLarge:
			t.Errorf("%s: ErrTooLarge is %v in %v", c.name, !c.tooLarge, err)
		}
	}
}

func TestDeletesNeedNoRoom(t *testing.T) {
	if (Txn{If: []Compare{{Key: "a"}}, Then: []Op{{Key: "a", Delete: true}}}).Puts() {
		t.Error("a transaction of deletes is said to put a key")
	}
	if !(Txn{Then: []Op{{Key: "a", Delete: true}, {Key: "b"}}}).Puts() {
		t.Error("a transaction with a put is said to put no key")
	}
}
