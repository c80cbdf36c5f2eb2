package rpcwire

import "github.com/rollcall-dns/rollcall/internal/gobvalue"

// isRequest reports whether a message defines rpc.Request as net/rpc has it.
func isRequest(message []byte) (id int64, ok bool) {
	return defines(message, "Request", gobvalue.Field{Name: "ServiceMethod", ID: gobvalue.String}, gobvalue.Field{Name: "Seq", ID: gobvalue.Uint})
}

// isResponse is isRequest for rpc.Response.
func isResponse(message []byte) (id int64, ok bool) {
	return defines(message, "Response", gobvalue.Field{Name: "ServiceMethod", ID: gobvalue.String}, gobvalue.Field{Name: "Seq", ID: gobvalue.Uint}, gobvalue.Field{Name: "Error", ID: gobvalue.String})
}

func defines(message []byte, name string, fields ...gobvalue.Field) (id int64, ok bool) {
	u, _ := gobvalue.ReadUint(message)
	id = -gobvalue.ToInt(u)
	if id <= 0 {
		return 0, false
	}
	return id, string(message) == string(gobvalue.Definition(name, id, fields...))
}

// parseRequest reads the fields of a Request: value is the message after its type
// id. Not ok: leave it to encoding/gob. The name is a part of value.
func parseRequest(value []byte) (name []byte, seq uint64, ok bool) {
	at := -1 // the last field seen; gob writes the distance to the next
	for {
		delta, n := gobvalue.ReadUint(value)
		if n == 0 {
			return nil, 0, false
		}
		value = value[n:]
		if delta == 0 {
			return name, seq, len(value) == 0
		}
		if delta > 2 {
			return nil, 0, false
		}
		at += int(delta)
		x, n := gobvalue.ReadUint(value)
		if n == 0 {
			return nil, 0, false
		}
		value = value[n:]
		switch at {
		case 0:
			if x > uint64(len(value)) {
				return nil, 0, false
			}
			name, value = value[:x], value[x:]
		case 1:
			seq = x
		default:
			return nil, 0, false
		}
	}
}

// appendRequest is the message of a Request of type id, its length included. Neither
// field may be zero: gob leaves those out.
func appendRequest(b []byte, id int64, method string, seq uint64) []byte {
	typeID := gobvalue.ToUint(id)
	size := gobvalue.UintSize(typeID) + 1 + gobvalue.UintSize(uint64(len(method))) + len(method) + 1 + gobvalue.UintSize(seq) + 1
	b = gobvalue.AppendUint(b, uint64(size))
	b = gobvalue.AppendUint(b, typeID)
	b = gobvalue.AppendUint(append(b, 1), uint64(len(method)))
	b = append(b, method...)
	b = gobvalue.AppendUint(append(b, 1), seq)
	return append(b, 0)
}

// response is an rpc.Response as parseResponse finds it, within the message.
type response struct {
	method, err []byte
	seq         uint64
}

// parseResponse reads what follows the type id in a Response's message. If it is
// not ok, encoding/gob shall judge.
func parseResponse(b []byte) (r response, ok bool) {
	field := -1
	for {
		delta, n := gobvalue.ReadUint(b)
		if n == 0 || delta > 3 {
			return r, false
		}
		b = b[n:]
		if delta == 0 {
			return r, len(b) == 0
		}
		field += int(delta)
		x, n := gobvalue.ReadUint(b)
		if n == 0 {
			return r, false
		}
		b = b[n:]
		if field == 1 {
			r.seq = x
			continue
		}
		if x > uint64(len(b)) {
			return r, false
		}
		switch field {
		case 0:
			r.method, b = b[:x], b[x:]
		case 2:
			r.err, b = b[:x], b[x:]
		default:
			return r, false
		}
	}
}

// appendResponse is the message of a Response of type id, its length included.
// Fields with zero values are left out, as gob does.
func appendResponse(b []byte, id int64, method string, seq uint64, errText string) []byte {
	// The length comes first and is not known: nearly always it fits one byte.
	mark := len(b)
	b = append(b, 0)
	b = gobvalue.AppendUint(b, gobvalue.ToUint(id))
	delta := byte(1)
	if method != "" {
		b = gobvalue.AppendString(append(b, delta), method)
	} else {
		delta++
	}
	if seq != 0 {
		b = gobvalue.AppendUint(append(b, delta), seq)
		delta = 1
	} else if method != "" {
		delta = 2
	} else {
		delta++
	}
	if errText != "" {
		b = gobvalue.AppendString(append(b, delta), errText)
	}
	b = append(b, 0)
	return gobvalue.SetLength(b, mark, 1)
}
