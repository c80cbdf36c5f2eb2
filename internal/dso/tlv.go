package dso

import (
	"encoding/binary"
	"fmt"
)

// Type is the DSO-TYPE of a TLV.
type Type uint16

const (
	TypeKeepAlive   Type = 1    // RFC 8490 section 7.1
	TypeRetryDelay  Type = 2    // RFC 8490 section 7.2
	TypePadding     Type = 3    // RFC 8490 section 7.3
	TypeSubscribe   Type = 0x40 // RFC 8765 section 6.2.1
	TypePush        Type = 0x41 // RFC 8765 section 6.3.1
	TypeUnsubscribe Type = 0x42 // RFC 8765 section 6.4.1
	TypeReconfirm   Type = 0x43 // RFC 8765 section 6.5.1

	// The private ones are in the range for experiments and local use, 0xF800 to 0xFBFF
	// (RFC 8490 section 10.3).
	TypeFollow   Type = 0xF800
	TypeSet      Type = 0xF801
	TypeUnfollow Type = 0xF802
)

var typeNames = map[Type]string{
	TypeKeepAlive: "KeepAlive", TypeRetryDelay: "RetryDelay", TypePadding: "EncryptionPadding",
	TypeSubscribe: "SUBSCRIBE", TypePush: "PUSH", TypeUnsubscribe: "UNSUBSCRIBE", TypeReconfirm: "RECONFIRM",
	TypeFollow: "FOLLOW", TypeSet: "SET", TypeUnfollow: "UNFOLLOW",
}

func (t Type) String() string {
	if name, ok := typeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("DSO-TYPE %d", uint16(t))
}

// NeedsTLS tells whether the type may be used over TLS only (RFC 8765 sections 5 and 7).
func (t Type) NeedsTLS() bool { return t >= TypeSubscribe && t <= TypeReconfirm }

// Which messages a type may be the primary TLV of (RFC 8490 section 8.2, RFC 8765
// section 6.6). A known type in any other message is a fatal error: RFC 8490 sections
// 5.4.1, 7.1 and 7.2.1, RFC 8765 sections 6.3, 6.4 and 6.5.
const (
	clientRequest        = 1 << iota // C-P
	clientUnidirectional             // C-U
	serverUnidirectional             // S-U
	response                         // CRP
)

var primaries = map[Type]int{
	TypeKeepAlive:   clientRequest | serverUnidirectional | response,
	TypeRetryDelay:  serverUnidirectional | response, // first in a response that has no primary one
	TypePadding:     response,                        // the same
	TypeSubscribe:   clientRequest | response,        // in a response it is ignored: RFC 8765 section 6.2.2
	TypePush:        serverUnidirectional,
	TypeUnsubscribe: clientUnidirectional,
	TypeReconfirm:   clientUnidirectional,
	TypeFollow:      clientRequest | response,
	TypeSet:         serverUnidirectional,
	TypeUnfollow:    clientUnidirectional,
}

const (
	headerSize = 12 // RFC 1035 section 4.1.1
	tlvSize    = 4  // type and length: RFC 8490 section 5.4.4
	opcode     = 6  // RFC 8490 section 5.4

	// MaxPush is the size of the largest PUSH or SET, from the header on (RFC 8765 section
	// 6.3.1): compression could not point beyond it.
	MaxPush = 16_382
)

// TLV is one of the values in a message.
type TLV struct {
	Type Type
	Data []byte // not a copy: it ends with the message
	off  int    // of Data in the message
}

// tlvAt reads the TLV at an offset. It tells whether the message has all of it.
func tlvAt(msg []byte, off int) (t TLV, end int, ok bool) {
	if len(msg) < off+tlvSize {
		return TLV{}, 0, false
	}
	t.Type = Type(binary.BigEndian.Uint16(msg[off:]))
	t.off = off + tlvSize
	end = t.off + int(binary.BigEndian.Uint16(msg[off+2:]))
	if end > len(msg) {
		return t, 0, false
	}
	t.Data = msg[t.off:end:end]
	return t, end, true
}

// Tests: message_test.go.
