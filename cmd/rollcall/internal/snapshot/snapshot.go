// Package snapshot reads what GET /v1/snapshot of dnsd's hook answers (docs/http-api.md):
// lines of JSON, of which the last one has the SHA-256 of the others. It looks into the
// first and the last line only, so that lines of later versions pass.
package snapshot

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// format is the one that this package reads.
const format = "rollcall-snapshot-1"

// longest bounds a line: an instance has at most a few KiB.
const longest = 64 << 10

// Head is the first line.
type Head struct {
	Format    string    `json:"format"`
	Zone      string    `json:"zone"`
	Life      string    `json:"life"`
	Revision  uint64    `json:"revision"`
	Time      time.Time `json:"time"` // when it was taken
	Instances int       `json:"instances"`
	Fences    int       `json:"fences"`
}

// Check reads a whole snapshot and returns its head, if nothing is missing or changed.
func Check(r io.Reader) (Head, error) {
	head, lines, err := open(r)
	if err != nil {
		return head, err
	}
	n := 0
	for line, err := range lines {
		if err != nil {
			return head, err
		}
		if !json.Valid(line) {
			return head, fmt.Errorf("line %d is no JSON", n+2)
		}
		n++
	}
	if want := head.Instances + head.Fences; n != want {
		return head, fmt.Errorf("it has %d lines of content, and its head says %d", n, want)
	}
	return head, nil
}

// Parts yields the content of a snapshot that Check found good, in bodies for POST
// /v1/snapshot of at most size bytes. Only the hook of the snapshot's zone takes them, and
// goes on above its revision; if it is of a stranger, every hook takes them, and its
// revision says nothing there.
func Parts(r io.Reader, size int, stranger bool) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		head, lines, err := open(r)
		if err != nil {
			yield(nil, err)
			return
		}
		begin, end := `{"lines":[`, `]}`
		if !stranger {
			zone, err := json.Marshal(head.Zone)
			if err != nil {
				yield(nil, err)
				return
			}
			begin = fmt.Sprintf(`{"zone":%s,"revision":%d,"lines":[`, zone, head.Revision)
		}
		body := []byte(begin)
		for line, err := range lines {
			if err != nil {
				yield(nil, err)
				return
			}
			if len(body) > len(begin) {
				if len(body)+1+len(line)+len(end) > size {
					if !yield(append(body, end...), nil) {
						return
					}
					body = []byte(begin)
				} else {
					body = append(body, ',')
				}
			}
			body = append(body, line...)
		}
		if len(body) > len(begin) {
			yield(append(body, end...), nil)
		}
	}
}

// open reads the head, and returns the lines of content, and at last an error if the sum is
// not that of what was read.
func open(r io.Reader) (head Head, lines iter.Seq2[[]byte, error], err error) {
	scan := bufio.NewScanner(r)
	scan.Buffer(nil, longest)
	sum := sha256.New()
	next := func() ([]byte, error) {
		if !scan.Scan() {
			if err := scan.Err(); err != nil {
				return nil, err
			}
			return nil, errors.New("it is incomplete: the end is missing")
		}
		return scan.Bytes(), nil
	}
	first, err := next()
	if err != nil {
		return head, nil, err
	}
	if err := json.Unmarshal(first, &head); err != nil || head.Format != format {
		return head, nil, fmt.Errorf("it is no snapshot of Rollcall: its first line has no \"format\":%q", format)
	}
	sum.Write(append(first, '\n'))
	return head, func(yield func([]byte, error) bool) {
		for {
			line, err := next()
			if err != nil {
				yield(nil, err)
				return
			}
			if want, ok := end(line); ok {
				switch got := fmt.Sprintf("%x", sum.Sum(nil)); {
				case got != want:
					yield(nil, errors.New("it was changed: its content has not the sum of its last line"))
				case scan.Scan():
					yield(nil, errors.New("something follows after its end"))
				}
				return
			}
			if !yield(bytes.Clone(line), nil) {
				return
			}
			sum.Write(append(line, '\n'))
		}
	}, nil
}

// end reads the last line.
func end(line []byte) (sum string, ok bool) {
	if !bytes.HasPrefix(line, []byte(`{"sha256":`)) {
		return "", false
	}
	var e struct {
		SHA256 string `json:"sha256"`
	}
	return e.SHA256, json.Unmarshal(line, &e) == nil
}
