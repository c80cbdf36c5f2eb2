package zone

import (
	"fmt"
	"slices"
)

// packed makes an image of what Pack makes.
func (z *Zone) packed(qname string, a Answer) (*image, error) {
	packed, ends, err := pack(qname, a)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", qname, err)
	}
	base := headerSize + len(wireName(qname)) + 4
	p := painter{image: image{data: packed[base:], size: len(packed) - base, answers: len(a.Answer)}}
	for _, e := range ends {
		p.ends = append(p.ends, e-base)
	}
	return p.done(), nil
}

// staticImage is an image of the zone's own records.
type staticImage struct {
	rrtype uint16
	*image
}

// newStaticImages makes the images of the name servers and of the apex, except the
// SOA. They are keyed by name on the wire.
func (z *Zone) newStaticImages() (map[string][]staticImage, error) {
	images := make(map[string][]staticImage)
	for name, rrs := range z.static {
		wire := string(wireName(name))
		images[wire] = nil
		for _, rr := range rrs {
			rrtype := rr.Header().Rrtype
			if slices.ContainsFunc(images[wire], func(im staticImage) bool { return im.rrtype == rrtype }) {
				continue
			}
			im, err := z.packed(name, z.Lookup(name, rrtype))
			if err != nil {
				return nil, err
			}
			images[wire] = append(images[wire], staticImage{rrtype, im})
		}
	}
	return images, nil
}

// Tests: answer_test.go, golden_test.go.
