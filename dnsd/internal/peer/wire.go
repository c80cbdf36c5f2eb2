package peer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// version is that of the requests and answers. A reader ignores fields that it does not
// know, and refuses a kind of operation that it does not know, without harm to the others
// of the batch. So members of different releases work together. A field that an older
// reader must not ignore gets another word for its operation, as in registerDrained; the
// version only rises when an older reader would do something wrong with the whole request.
const version = 1

const (
	pathOperations = "/v1/operations"
	pathState      = "/v1/state"

	// mostOperations in one request. The writer runs them at once.
	mostOperations = 1000
	// fullBatch is the size from which a request takes no further operation.
	fullBatch = 1 << 20
	// maxOperation bounds one operation. The largest is a registration whose metadata, at
	// most 1,300 octets, are all escaped, or a part of a RenewAll.
	maxOperation = 128 << 10
	// maxRequest bounds a request: one operation may go past fullBatch.
	maxRequest = fullBatch + maxOperation + 4<<10
	// maxAnswer bounds an answer: each of its instances may have all its metadata escaped.
	maxAnswer = 16 << 20
	// renewalsPart bounds the renewals of one operation, in octets, so that a long list does
	// not delay the operations of others.
	renewalsPart = 64 << 10
)

// State is what a member says about itself.
type State struct {
	Name     string `json:"name"`
	Revision uint64 `json:"revision"`
	Life     string `json:"life"`
	Role     string `json:"role"` // "writer", "follower"
	// CertificateEnds is when the certificate ends that it shows to the store, if it has one.
	CertificateEnds time.Time `json:"certificateEnds,omitzero"`
}

// duration is s as Go has it.
func duration(s registry.Span) time.Duration { return time.Duration(s) }

// appendBatch appends the request with these operations, each of which is JSON.
func appendBatch(b []byte, lines [][]byte) []byte {
	b = append(b, `{"version":`...)
	b = strconv.AppendInt(b, version, 10)
	b = append(b, `,"operations":[`...)
	return append(appendList(b, lines), `]}`...)
}

// appendResults appends the answer with these results, each of which is JSON.
func appendResults(b []byte, lines [][]byte) []byte {
	b = append(b, `{"results":[`...)
	return append(appendList(b, lines), `]}`...)
}

func appendList(b []byte, lines [][]byte) []byte {
	for i, l := range lines {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, l...)
	}
	return b
}

// readBatch reads a request. An operation that cannot be read has the error in errs.
func readBatch(body []byte) (all []operation, errs []error, err error) {
	newest := version
	err = readObject(body, "operations", mostOperations, func(d *json.Decoder) error {
		var w operationJSON
		o, err := operation{}, d.Decode(&w)
		if broken(err) {
			return err
		}
		if err != nil {
			err = notJSON(err)
		} else {
			o, err = w.parse()
		}
		all, errs = append(all, o), append(errs, err)
		return nil
	}, func(field string, d *json.Decoder) error {
		var v int
		if field != "version" {
			return d.Decode(&json.RawMessage{})
		}
		err := d.Decode(&v)
		newest = max(newest, v)
		return err
	})
	if err == nil && newest > version {
		err = fmt.Errorf("%w: it does not know version %d of requests: upgrade it", errUnsupported, newest)
	}
	return all, errs, err
}

// readResults reads the answer to the operations. A result that cannot be read has the
// error in errs.
func readResults(body []byte, of []*operation) (all []result, errs []error, err error) {
	all, errs = make([]result, 0, len(of)), make([]error, 0, len(of))
	err = readObject(body, "results", len(of), func(d *json.Decoder) error {
		var w resultJSON
		r, err := result{}, d.Decode(&w)
		if broken(err) {
			return err
		}
		if err != nil {
			err = notJSON(err)
		} else {
			r, err = w.parse(of[len(all)])
		}
		all, errs = append(all, r), append(errs, err)
		return nil
	}, func(_ string, d *json.Decoder) error { return d.Decode(&json.RawMessage{}) })
	if err == nil && len(all) != len(of) {
		err = malformed("%d results for %d operations", len(all), len(of))
	}
	return all, errs, err
}

// readObject reads a JSON object one element of its list at a time, so that a small body
// cannot become large in memory, and an element that is wrong harms no other. element
// decodes each element of the list, which has at most most, and other every other field.
func readObject(body []byte, list string, most int, element func(*json.Decoder) error, other func(field string, d *json.Decoder) error) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := expect(d, json.Delim('{')); err != nil {
		return err
	}
	seen := false
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return notJSON(err)
		}
		field, _ := t.(string)
		if field != list {
			if err := other(field, d); err != nil {
				return notJSON(err)
			}
			continue
		}
		if seen {
			return malformed("%s is there twice", list)
		}
		seen = true
		if err := readList(d, most, element); err != nil {
			return err
		}
	}
	if err := expect(d, json.Delim('}')); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return malformed("there is something after the object")
	}
	if !seen {
		return malformed("there are no %s", list)
	}
	return nil
}

func readList(d *json.Decoder, most int, element func(*json.Decoder) error) error {
	if err := expect(d, json.Delim('[')); err != nil {
		return err
	}
	for n := 0; d.More(); n++ {
		if n == most {
			return malformed("there are more than %d in the list", most)
		}
		if err := element(d); err != nil {
			return notJSON(err)
		}
	}
	return expect(d, json.Delim(']'))
}

// broken says whether nothing can be read after err. After other errors the value was
// read, but is not what it should be.
func broken(err error) bool {
	if err == nil {
		return false
	}
	var syntax *json.SyntaxError
	return errors.As(err, &syntax) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

func expect(d *json.Decoder, want json.Delim) error {
	switch t, err := d.Token(); {
	case err != nil:
		return notJSON(err)
	case t != want:
		return malformed("%v where %v is expected", t, want)
	}
	return nil
}

func notJSON(err error) error { return fmt.Errorf("%w: %w", errMalformed, err) }
