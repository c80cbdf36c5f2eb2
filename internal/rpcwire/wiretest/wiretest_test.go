package wiretest

import (
	"bytes"
	"encoding/gob"
	"testing"
)

// TestBodyIsReadAsGiven: what is made by hand is a stream to encoding/gob.
func TestBodyIsReadAsGiven(t *testing.T) {
	s := NewStream()
	s.Body(Chain{V: 1}, Deep(3, "", "\x02", "\x00", "\x00"))
	s.Body(Flat{1}, []byte{1, 14, 0})
	dec := gob.NewDecoder(&s.Buffer)
	var chain Chain
	if err := dec.Decode(&chain); err != nil || chain.Next.Next.Next == nil || chain.Next.Next.Next.Next != nil {
		t.Errorf("%+v, %v", chain, err)
	}
	var flat Flat
	if err := dec.Decode(&flat); err != nil || flat.V != 7 {
		t.Errorf("%+v, %v", flat, err)
	}
	s.Write(Definitions(1000))
	if n := bytes.Count(s.Bytes(), []byte{2, 1, 2}); n < 50 {
		t.Errorf("%d definitions", n)
	}
}
