package dso

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Pushes returns PUSH messages with the changes, each as a whole frame: records that were
// added, and then those that were removed. A record that is both has another TTL, and is
// only added. There are none without a change.
//
// The error names records that no message can hold; the frames have all others.
func Pushes(added, removed []dns.RR) (frames [][]byte, err error) {
	if len(added)+len(removed) == 0 {
		return nil, nil
	}
	bodies, err := split(headerSize+tlvSize, added, removed)
	for _, body := range bodies {
		size := headerSize + tlvSize + len(body)
		frame := make([]byte, 0, 2+size)
		frame = binary.BigEndian.AppendUint16(begin(frame, 0, false, 0), uint16(TypePush))
		frame = binary.BigEndian.AppendUint16(frame, uint16(len(body)))
		frames = append(frames, finish(append(frame, body...), 0))
	}
	return frames, err
}

// PrefixSize is the size of what is before a Body in its frame: the length, the header,
// the beginning of the TLV, and the id of the subscription.
const PrefixSize = 2 + headerSize + tlvSize + 2

// Body is the octets of a SET that all its subscribers share: flags, revision, records.
type Body []byte

// Prefix returns what is before the body in the frame for the subscription with an id.
func (body Body) Prefix(id uint16) (p [PrefixSize]byte) {
	const afterLength = PrefixSize - 2
	b := begin(p[:0], 0, false, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(TypeSet))
	b = binary.BigEndian.AppendUint16(b, uint16(2+len(body)))
	binary.BigEndian.AppendUint16(b, id)
	binary.BigEndian.PutUint16(p[:], uint16(afterLength+len(body)))
	return p
}

// Append appends the whole frame of the body for the subscription with an id. The records of
// a whole set may have been there for some time; revision is that of the zone now.
func (body Body) Append(b []byte, id uint16, revision uint64) []byte {
	prefix := body.Prefix(id)
	b = append(b, prefix[:]...)
	at := len(b) + 1 // after the flags
	b = append(b, body...)
	binary.BigEndian.PutUint64(b[at:], revision)
	return b
}

// Flags of the body.
func (body Body) Flags() Flags { return Flags(body[0]) }

// Sets returns SET messages with the changes that led to a revision, as Pushes does, but
// at least one. The first of them has the flag Whole if flags has it, and all but the last
// have More.
func Sets(flags Flags, revision uint64, added, removed []dns.RR) (bodies []Body, err error) {
	const head = setHead - 2 // without the id
	records, err := split(headerSize+tlvSize+setHead, added, removed)
	if len(records) == 0 {
		records = [][]byte{nil}
	}
	for i, r := range records {
		f := flags &^ More
		if i > 0 {
			f &^= Whole
		}
		if i < len(records)-1 {
			f |= More
		}
		body := make(Body, 0, head+len(r))
		body = append(body, byte(f))
		body = binary.BigEndian.AppendUint64(body, revision)
		bodies = append(bodies, append(body, r...))
	}
	return bodies, err
}

// split writes changes, compressed, into as many messages as they need. Each begins at an
// offset of its message; what is before that is not in the result.
func split(at int, added, removed []dns.RR) (parts [][]byte, err error) {
	w := writer{at: at, off: at, names: make(map[string]int), buf: make([]byte, MaxPush)}
	var errs []error
	add := func(rr dns.RR, ttl uint32) {
		if e := w.add(rr, ttl); e != nil {
			errs = append(errs, e)
		}
	}
	for _, rr := range added {
		add(rr, min(rr.Header().Ttl, maxTTL))
	}
	gone := func(dns.RR) bool { return true }
	if len(removed) > 0 && len(added) > 0 {
		kept := make(map[string]bool, len(added))
		for _, rr := range added {
			kept[identity(rr)] = true
		}
		gone = func(rr dns.RR) bool { return !kept[identity(rr)] }
	}
	for _, rr := range removed {
		if gone(rr) {
			add(rr, removeTTL)
		}
	}
	w.flush()
	return w.parts, errors.Join(errs...)
}

// identity is what two records have in common that differ in the TTL alone.
func identity(rr dns.RR) string {
	h := rr.Header()
	ttl := h.Ttl
	if ttl == 0 {
		return strings.ToLower(rr.String())
	}
	same := dns.Copy(rr)
	same.Header().Ttl = 0
	return strings.ToLower(same.String())
}

// writer writes records into messages.
type writer struct {
	at    int            // where the records of a message begin
	off   int            // where the next one is written
	names map[string]int // offsets of the names in the message, and of their endings
	buf   []byte         // a message; what is before at stays 0
	parts [][]byte
}

// add writes a record: into the next message if the present one has no room for it.
func (w *writer) add(rr dns.RR, ttl uint32) error {
	off, err := w.write(rr, ttl)
	if err != nil && w.off > w.at {
		w.flush()
		off, err = w.write(rr, ttl)
	}
	if err != nil {
		clear(w.names) // they may have offsets in what was not written
		return fmt.Errorf("dso: write change: %s %s: %w", rr.Header().Name, dns.TypeToString[rr.Header().Rrtype], err)
	}
	w.off = off
	return nil
}

func (w *writer) flush() {
	if w.off == w.at {
		return
	}
	w.parts = append(w.parts, slices.Clone(w.buf[w.at:w.off]))
	w.off = w.at
	clear(w.names)
}

// write writes a record at the present offset, and returns where it ends. Names in the
// data of SRV records are compressed, too (RFC 8765 section 6.3.1); miekg/dns does so for
// the types of RFC 1035 only.
func (w *writer) write(rr dns.RR, ttl uint32) (end int, err error) {
	h := rr.Header()
	srv, ok := rr.(*dns.SRV)
	if !ok {
		// PackRR writes the length of the data into the header of the record, and the records
		// of a zone are shared.
		if end, err = dns.PackRR(dns.Copy(rr), w.buf, w.off, w.names, true); err != nil {
			return 0, err
		}
		fixed, err := skipName(w.buf, w.off)
		if err != nil {
			return 0, err
		}
		binary.BigEndian.PutUint32(w.buf[fixed+4:], ttl)
		return end, nil
	}
	off, err := dns.PackDomainName(h.Name, w.buf, w.off, w.names, true)
	if err != nil {
		return 0, err
	}
	const fixed = 10 + 6 // up to the data, and the data up to the target
	if off+fixed > len(w.buf) {
		return 0, dns.ErrBuf
	}
	if end, err = dns.PackDomainName(srv.Target, w.buf, off+fixed, w.names, true); err != nil {
		return 0, err
	}
	b := binary.BigEndian.AppendUint16(w.buf[:off], h.Rrtype)
	b = binary.BigEndian.AppendUint16(b, h.Class)
	b = binary.BigEndian.AppendUint32(b, ttl)
	b = binary.BigEndian.AppendUint16(b, uint16(end-off-10))
	b = binary.BigEndian.AppendUint16(b, srv.Priority)
	b = binary.BigEndian.AppendUint16(b, srv.Weight)
	binary.BigEndian.AppendUint16(b, srv.Port)
	return end, nil
}

// skipName returns where a name that was just written ends.
func skipName(b []byte, off int) (int, error) {
	_, end, err := dns.UnpackDomainName(b, off)
	return end, err
}
