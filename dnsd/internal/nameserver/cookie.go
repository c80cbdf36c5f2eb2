package nameserver

import (
	"encoding/binary"
	"net/netip"
)

const (
	clientCookieLen = 8 // RFC 7873 4
	serverCookieLen = 16
	// A server cookie is valid for an hour, and may come from a clock that is five
	// minutes ahead. One older than half an hour is answered with a fresh one (RFC
	// 9018 4.3).
	cookieLifetime = 3600
	cookieRenew    = 1800
	cookieFuture   = 300
)

// cookieSecrets are the server's secrets; the first one signs.
type cookieSecrets []sipKey

// cookieState is what a query's COOKIE option proved.
type cookieState uint8

const (
	cookieClient  cookieState = iota // a client cookie alone, or a server cookie that is not ours
	cookieValid                      // our server cookie: the address is real
	cookieInvalid                    // the option's length is wrong: FORMERR (RFC 7873 5.2.2)
)

// check checks the option's data. fresh says that the answer needs a new cookie;
// otherwise the client's goes back unchanged.
func (cs cookieSecrets) check(option []byte, client netip.Addr, now uint32) (state cookieState, fresh bool) {
	switch n := len(option); {
	case n == clientCookieLen:
		return cookieClient, true
	case n < clientCookieLen+8 || n > clientCookieLen+32:
		return cookieInvalid, false
	case n != clientCookieLen+serverCookieLen || option[8] != 1:
		return cookieClient, true
	}
	// RFC 1982 arithmetic: the timestamp has 32 bits and wraps in 2106.
	age := int32(now - binary.BigEndian.Uint32(option[12:]))
	if age > cookieLifetime || age < -cookieFuture {
		return cookieClient, true
	}
	want := binary.LittleEndian.Uint64(option[16:])
	for i, k := range cs {
		// A cookie is 64 bits and one guess costs a packet: a comparison in
		// constant time would hide no more than the network already does.
		if cookieHash(k, option[:16], client) == want {
			return cookieValid, i != 0 || age > cookieRenew || age < 0
		}
	}
	return cookieClient, true
}

// appendCookie appends client and a server cookie made now (RFC 9018 4).
func (cs cookieSecrets) appendCookie(dst, client []byte, from netip.Addr, now uint32) []byte {
	at := len(dst)
	dst = append(dst, client[:clientCookieLen]...)
	dst = append(dst, 1, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, now)
	return binary.LittleEndian.AppendUint64(dst, cookieHash(cs[0], dst[at:], from))
}

// cookieHash hashes client cookie, version, reserved octets, timestamp and
// client address (RFC 9018 4.4). head is the 16 octets before the hash.
func cookieHash(k sipKey, head []byte, client netip.Addr) uint64 {
	var in [32]byte
	n := copy(in[:], head[:16])
	if client.Is4() {
		a := client.As4()
		n += copy(in[n:], a[:])
	} else {
		a := client.As16()
		n += copy(in[n:], a[:])
	}
	return k.sum(in[:n])
}
