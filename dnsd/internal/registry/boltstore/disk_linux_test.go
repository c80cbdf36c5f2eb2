package boltstore_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
)

// What a process does to its file, or says.
const (
	didWrite = iota
	didResize
	didSync
	didFailToSync
	didSay
)

// event is one act of a process.
type event struct {
	kind int
	at   int64  // of a write; of a resize, the new length
	data []byte // of a write
	said string
}

// disk is a file on a disk, and what the cache of the system has not yet synced.
type disk struct {
	durable []byte
	lengths []int64            // that were set since the last sync
	pending map[int64][][]byte // by sector, each version since the last sync
}

func newDisk(data []byte) *disk { return &disk{durable: data, pending: map[int64][][]byte{}} }

// apply follows an event. After a sync that failed, Linux takes the sectors for clean.
// Each of them may be on the disk or lost for ever, or still be written later.
func (d *disk) apply(e event, rnd *rand.Rand) {
	switch e.kind {
	case didWrite:
		d.write(e.at, e.data)
	case didResize:
		d.lengths = append(d.lengths, e.at)
	case didSync:
		d.settleLength()
		for sector, versions := range d.pending {
			d.put(sector, versions[len(versions)-1])
		}
		clear(d.pending)
	case didFailToSync:
		lost, written := []float64{0, 0.1, 0.5, 0.9}[rnd.IntN(4)], []float64{0, 0.5, 1}[rnd.IntN(3)]
		if rnd.IntN(2) == 0 {
			d.settleLength()
		}
		for _, sector := range slices.Sorted(maps.Keys(d.pending)) {
			versions := d.pending[sector]
			switch {
			case rnd.Float64() < lost:
				delete(d.pending, sector)
			case rnd.Float64() < written && sector*sectorSize < int64(len(d.durable)):
				d.put(sector, versions[len(versions)-1])
				delete(d.pending, sector)
			}
		}
	}
}

// write adds a version of each sector that data touches.
func (d *disk) write(at int64, data []byte) {
	for len(data) > 0 {
		sector, in := at/sectorSize, at%sectorSize
		n := min(int64(len(data)), sectorSize-in)
		version := make([]byte, sectorSize)
		if v := d.pending[sector]; len(v) > 0 {
			copy(version, v[len(v)-1])
		} else if sector*sectorSize < int64(len(d.durable)) {
			copy(version, d.durable[sector*sectorSize:])
		}
		copy(version[in:], data[:n])
		d.pending[sector] = append(d.pending[sector], version)
		data, at = data[n:], at+n
	}
}

func (d *disk) settleLength() {
	if n := len(d.lengths); n > 0 {
		d.durable, d.lengths = resized(d.durable, d.lengths[n-1]), nil
	}
}

func (d *disk) put(sector int64, data []byte) {
	if end := sector*sectorSize + int64(len(data)); end > int64(len(d.durable)) {
		d.durable = resized(d.durable, end)
	}
	copy(d.durable[sector*sectorSize:], data)
}

// The versions of a sector that fail chooses from.
const (
	versionLast = -1
	versionNone = -2 // what was there before all of them
)

// fail returns the file after the power has failed: with one of the lengths, and one
// version of each sector. Sectors of a unit, in octets, have the same fate.
func (d *disk) fail(rnd *rand.Rand, unit int64) []byte {
	after := newDisk(bytes.Clone(d.durable))
	if i := rnd.IntN(len(d.lengths) + 1); i > 0 {
		after.durable = resized(after.durable, d.lengths[i-1])
	}
	length := int64(len(after.durable))
	share := []float64{0, 0.1, 0.5, 0.9, 0.98, 1}[rnd.IntN(6)] // of the units that are on the disk
	fates := map[int64]int{}
	for _, sector := range slices.Sorted(maps.Keys(d.pending)) {
		if sector*sectorSize >= length {
			continue
		}
		fate, ok := fates[sector*sectorSize/unit]
		if !ok {
			switch fate = versionNone; {
			case rnd.Float64() < share:
				fate = versionLast
			case rnd.IntN(3) == 0:
				fate = rnd.IntN(8)
			}
			fates[sector*sectorSize/unit] = fate
		}
		versions := d.pending[sector]
		switch {
		case fate == versionLast:
			after.put(sector, versions[len(versions)-1])
		case fate >= 0:
			after.put(sector, versions[fate%len(versions)])
		}
	}
	return after.durable[:length]
}

// resized returns b with another length, and zeros where it becomes longer.
func resized(b []byte, n int64) []byte {
	if int64(len(b)) >= n {
		return b[:n:n]
	}
	return append(bytes.Clone(b), make([]byte, n-int64(len(b)))...)
}
