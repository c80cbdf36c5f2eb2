package conn

import "reflect"

// maxLate bounds late. Who has so many calls unanswered on a connection has worse
// troubles.
const maxLate = 4096

// giveUpLocked is takeLocked for a call whose reply may come nevertheless. Where its
// end is, only those know who decode it, if it holds interface values: encoding/gob
// reads beyond a nil one that it skips. c.mu is held.
func (c *Conn) giveUpLocked(seq uint64) *Request {
	req := c.takeLocked(seq)
	if req != nil && len(c.late) < maxLate && c.wire.loose(req.Reply) {
		if c.late == nil {
			c.late = make(map[uint64]reflect.Type)
		}
		c.late[seq] = reflect.TypeOf(req.Reply)
	}
	return req
}

// nobodysLocked is what to decode a reply into that nobody waits for. c.mu is held.
func (c *Conn) nobodysLocked(seq uint64) any {
	rt := c.late[seq]
	delete(c.late, seq)
	if rt == nil || rt.Kind() != reflect.Pointer {
		return nil
	}
	return reflect.New(rt.Elem()).Interface()
}
