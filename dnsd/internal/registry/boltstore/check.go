package boltstore

import (
	"encoding/binary"
	"errors"
	"os"
)

// pageSizes are the page sizes that a bbolt file may have. bbolt takes the page size of
// the machine on which the file is made.
var pageSizes = []int64{1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10}

// Check returns the error with which Open would refuse an existing file because it
// cannot be opened or is no bbolt file. It takes no lock, so it may be called while a
// store is open. It does not look at the records.
func Check(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	// Each of the first two pages has the magic number of bbolt after its header of 16
	// octets. One of the two may be torn.
	for _, page := range append([]int64{0}, pageSizes...) {
		var number [4]byte
		if _, err := f.ReadAt(number[:], page+pageHeader); err == nil && binary.NativeEndian.Uint32(number[:]) == magic {
			return nil
		}
	}
	return (&Store{path: path}).damaged("open", errors.New("not a bbolt file"))
}
