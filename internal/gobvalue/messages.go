package gobvalue

import "iter"

// wholeMessages gives the messages of a stream, with their length and without, up to the
// first that is not whole.
func wholeMessages(stream []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(whole, message []byte) bool) {
		for len(stream) > 0 {
			size, n := ReadUint(stream)
			if n == 0 || size > uint64(len(stream)-n) {
				return
			}
			end := n + int(size)
			if !yield(stream[:end], stream[n:end]) {
				return
			}
			stream = stream[end:]
		}
	}
}

func isDefinition(message []byte) bool {
	id, _ := ReadUint(message)
	return id&1 != 0
}

// LastMessage is the last message of a stream, with its length. It is nil if the stream
// is not made of whole messages.
func LastMessage(stream []byte) (last []byte) {
	left := len(stream)
	for whole := range wholeMessages(stream) {
		last = whole
		left -= len(whole)
	}
	if left > 0 {
		return nil
	}
	return last
}

// AppendDefinitions appends to b those messages of stream that define types. They must be
// kept of a value that failed. b may end where stream begins in the same memory, because
// it never grows beyond what was read.
func AppendDefinitions(b, stream []byte) []byte {
	for whole, message := range wholeMessages(stream) {
		if isDefinition(message) {
			b = append(b, whole...)
		}
	}
	return b
}

// Tests: encode_test.go.
