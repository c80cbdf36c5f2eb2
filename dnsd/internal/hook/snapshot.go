package hook

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/timeline"
	"github.com/rollcall-dns/rollcall/register"
)

// snapshotFormat is the first word of a snapshot. Lines may get more fields under it.
const snapshotFormat = "rollcall-snapshot-1"

// A snapshot is lines of JSON: a head, a line for each instance and each fence, and the
// SHA-256 of these lines.
type (
	snapshotHead struct {
		Format    string    `json:"format"`
		Zone      string    `json:"zone"`
		Life      string    `json:"life"`
		Revision  uint64    `json:"revision"`
		Time      time.Time `json:"time"`
		Instances int       `json:"instances"`
		Fences    int       `json:"fences"`
	}
	snapshotLine struct {
		Instance *registry.Record `json:"instance,omitempty"`
		Fence    *register.Fence  `json:"fence,omitempty"`
	}
	snapshotEnd struct {
		SHA256 string `json:"sha256"`
	}
	// restored is the answer to a part of a snapshot.
	restored struct {
		Revision uint64 `json:"revision"`
		Restored int    `json:"restored"` // instances that were not there
		Kept     int    `json:"kept"`     // instances that were, or whose newer process was
	}
)

// takeSnapshot sends all that is registered and remembered, as it was at one moment.
func (x *exchange) takeSnapshot() error {
	if err := x.need(Admin, ""); err != nil {
		return err
	}
	if err := x.loaded(); err != nil {
		return err
	}
	if _, err := x.query(); err != nil {
		return err
	}
	p, err := x.pieces("")
	if err != nil {
		return err
	}
	defer p.finish()
	x.w.Header().Set("Content-Type", "application/jsonl")
	x.w.Header().Set("Cache-Control", "no-store")
	if x.r.Method == http.MethodHead {
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	c := x.st.registry.Content()
	if c.Instances == nil {
		return registry.ErrClosed
	}
	x.revision(c.Revision)
	head := snapshotHead{Format: snapshotFormat, Zone: x.st.zone, Life: c.Life.String(), Revision: c.Revision, Time: time.Now().UTC()}
	for range c.Instances {
		head.Instances++
	}
	for range c.Fences {
		head.Fences++
	}
	lines := &snapshotLines{p.out, sha256.New()}
	if err := lines.write(head); err != nil {
		return err
	}
	for in, err := range c.Instances {
		if err != nil {
			return err
		}
		record := registry.NewRecord(in)
		if err := lines.write(snapshotLine{Instance: &record}); err != nil {
			return err
		}
	}
	for f, err := range c.Fences {
		if err != nil {
			return err
		}
		if err := lines.write(snapshotLine{Fence: shownFence(f)}); err != nil {
			return err
		}
	}
	if err := lines.write(snapshotEnd{fmt.Sprintf("%x", lines.sum.Sum(nil))}); err != nil {
		return err
	}
	return p.end()
}

// shownFence is a fence as JSON has it.
func shownFence(f registry.Fence) *register.Fence {
	return &register.Fence{Service: f.Service, ID: f.ID, Incarnation: f.Incarnation, Drained: f.Drained, Time: f.Time.UTC()}
}

// snapshotLines writes lines and sums them.
type snapshotLines struct {
	out io.Writer
	sum hash.Hash
}

func (l *snapshotLines) write(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	l.sum.Write(line)
	_, err = l.out.Write(line)
	return err
}

// restore registers what is missing of a part of a snapshot. A whole snapshot is many
// requests, because a body is bounded.
func (x *exchange) restore() error {
	if err := x.need(Admin, ""); err != nil {
		return err
	}
	if _, err := x.query(); err != nil {
		return err
	}
	if !x.st.registry.Leads() {
		return refuse(http.StatusMisdirectedRequest, "", "this dnsd follows: send it to the hook of the writer, which GET /v1/cluster names")
	}
	body, err := x.readBody()
	if err != nil {
		return err
	}
	var lines []snapshotLine
	var zone string
	var revision uint64
	seen, err := decodeObject(body, []member{
		{"lines", &lines, "a list of lines of a snapshot"},
		{"zone", &zone, "the zone of the snapshot's first line"},
		{"revision", &revision, "the revision of the snapshot's first line"},
	})
	if err != nil {
		return err
	}
	if zone != "" && zone != x.st.zone && !slices.Contains(x.st.aliases, zone) {
		return refuse(http.StatusConflict, "zone", "the snapshot is of zone %.80q, and this is the hook of %s: send it to the other hook; without zone it is restored here", zone, x.st.zone)
	}
	if !seen["lines"] {
		return refuse(http.StatusBadRequest, "lines", `lines is missing: {"lines":[{"instance":{...}},{"fence":{...}}]}`)
	}
	instances, fences, err := x.contentOf(lines)
	if err != nil {
		return err
	}
	x.audit.object = fmt.Sprintf("%d instances", len(instances))
	if err := x.st.registry.Outgrow(x.r.Context(), revision); err != nil {
		return err
	}
	done, err := x.st.registry.Restore(x.r.Context(), instances, fences)
	if err != nil {
		return err
	}
	answer := restored{Revision: done.Revision, Restored: done.Count, Kept: len(instances) - done.Count}
	x.note(timeline.SnapshotBack, "", fmt.Sprintf("%d instances of a snapshot, %d were there", answer.Restored, answer.Kept))
	x.audit.revision = done.Revision
	x.audit.result = fmt.Sprintf("restored %d, kept %d", answer.Restored, answer.Kept)
	x.revision(done.Revision)
	return x.json(http.StatusOK, answer)
}

// contentOf checks the lines: what is restored can be published.
func (x *exchange) contentOf(lines []snapshotLine) (instances []*registry.Instance, fences []registry.Fence, err error) {
	for i, line := range lines {
		field := fmt.Sprintf("lines[%d]", i)
		blame := func(err error) error {
			p := problemOf(err)
			p.Field = field
			return p
		}
		switch {
		case (line.Instance == nil) == (line.Fence == nil):
			return nil, nil, refuse(http.StatusBadRequest, field, "expected an instance or a fence: send lines of a snapshot, without its first and its last one")
		case line.Instance != nil:
			in, err := line.Instance.Instance()
			if err == nil && x.st.check != nil {
				err = x.st.check(in.Key, in.Host)
			}
			if err != nil {
				return nil, nil, blame(err)
			}
			instances = append(instances, in)
		default:
			key, err := registry.NewKey(line.Fence.Service, line.Fence.ID)
			if err != nil {
				return nil, nil, blame(err)
			}
			fences = append(fences, registry.Fence{Key: key, Incarnation: line.Fence.Incarnation, Drained: line.Fence.Drained, Time: line.Fence.Time})
		}
	}
	return instances, fences, nil
}
