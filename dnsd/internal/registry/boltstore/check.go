package boltstore

import (
	"encoding/binary"
	"errors"
	"os"
)

// pageSizes are those that a bbolt file may have; it is the machine's that made it.
var pageSizes = []int64{1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10}

// Check says what Open would refuse of a file that is there without a look at its
// content: it takes no lock and may be called while a store is open.
func Check(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	// The first two pages have a number behind their head of 16 octets, and one of
	// them may be torn.
	for _, page := range append([]int64{0}, pageSizes...) {
		var magic [4]byte
		if _, err := f.ReadAt(magic[:], page+16); err == nil && binary.NativeEndian.Uint32(magic[:]) == 0xED0CDAED {
			return nil
		}
	}
	return (&Store{path: path}).damaged("open", errors.New("another kind of file"))
}
