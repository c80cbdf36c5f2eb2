package gobvalue

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"reflect"
)

// reader reads one stream three times: with a Decoder, with an encoding/gob that does what
// the Decoder leaves to it, and with another that is alone.
type reader struct {
	own          *Decoder
	take         bool // by Take
	after, alone gobReader
}

func newReader(plans *Plans) *reader {
	r := &reader{own: NewDecoder(plans)}
	r.alone.Decoder = gob.NewDecoder(&r.alone.in)
	r.after.Decoder = gob.NewDecoder(&r.after.in)
	return r
}

type gobReader struct {
	in bytes.Buffer
	*gob.Decoder
}

// read decodes the stream's next value.
func (r *gobReader) read(stream []byte, v reflect.Value) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	r.in.Reset()
	r.in.Write(stream)
	return r.DecodeValue(v)
}

func withLength(message []byte) []byte {
	return append(AppendUint(nil, uint64(len(message))), message...)
}

// check decodes the value at the end of stream into two equal targets, and reports how
// they differ afterwards. ok is the result of Decode.
func (r *reader) check(stream []byte, ours, theirs reflect.Value) (ok bool, difference string, err error) {
	all := split(stream)
	for _, m := range all[:len(all)-1] {
		r.own.Define(m)
	}
	message := bytes.Clone(all[len(all)-1])
	kept := false
	if r.take {
		ok, kept = r.own.Take(message, ours.Interface(), true)
	} else {
		ok = r.own.decode(message, ours, nil)
	}
	err = r.alone.read(stream, theirs)
	if ok {
		if err != nil {
			return ok, fmt.Sprintf("encoding/gob says %v", err), err
		}
		_ = r.after.read(stream, reflect.New(ours.Type())) // for the definitions
	} else if after := r.after.read(stream, ours); fmt.Sprint(after) != fmt.Sprint(err) {
		return ok, fmt.Sprintf("encoding/gob says %v, and %v alone", after, err), err
	}
	if !kept {
		for i := range message { // nothing is a part of it
			message[i] ^= 0xff
		}
	}
	return ok, differs(ours, theirs), err
}

// split is messages for bytes that may be no stream.
func split(stream []byte) (out [][]byte) {
	for len(stream) > 0 {
		n, k := ReadUint(stream)
		if k == 0 || n > uint64(len(stream)-k) {
			return append(out, nil)
		}
		out = append(out, stream[k:k+int(n)])
		stream = stream[k+int(n):]
	}
	return out
}
