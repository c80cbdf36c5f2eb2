package history

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// A world makes a history without a fault: two dnsd and their registry, in which each
// request takes a millisecond, one after another.
type world struct {
	h        *History
	now      time.Duration
	revision uint64
	there    map[string]Instance
	values   int
}

const worldLife = "00000000000000aa"

func newWorld() *world {
	w := &world{h: &History{Zone: "svc.", Service: "_history._tcp", Lives: 1}, revision: 100, there: map[string]Instance{}}
	for _, name := range []string{"watcher 0", "watcher 1"} {
		w.h.Streams = append(w.h.Streams, Stream{Name: name, Parts: []Part{{At: len(w.h.Streams), Life: worldLife, Since: 100, Whole: true, ListedAt: 100}}})
	}
	return w
}

// do asks for something at a dnsd, and is answered. A registration gets the next value.
func (w *world) do(kind Kind, at int, id string) *Op {
	w.now += time.Millisecond
	o := &Op{Kind: kind, At: at, ID: id, Life: w.h.Lives - 1, Call: w.now}
	if kind == Register {
		w.values++
		o.Value = fmt.Sprint("v", w.values)
	}
	w.apply(o)
	w.now += time.Millisecond
	o.Return = w.now
	w.h.Ops = append(w.h.Ops, o)
	return o
}

// twice does something, which is not answered, and again after other things. The answer is
// that of the second time.
func (w *world) twice(kind Kind, at int, id string, between func()) *Op {
	w.now += time.Millisecond
	o := &Op{Kind: kind, At: at, ID: id, Life: w.h.Lives - 1, Call: w.now}
	first := *o
	w.apply(&first)
	between()
	w.apply(o)
	w.now += time.Millisecond
	o.Return = w.now
	w.h.Ops = append(w.h.Ops, o)
	return o
}

// apply is what the registry does.
func (w *world) apply(o *Op) {
	in, ok := w.there[o.ID]
	o.Found = ok || o.Kind == Register
	next := in
	switch o.Kind {
	case Register:
		next = Instance{Value: o.Value, Drained: in.Drained, Rest: "weight " + o.Value}
	case Drain, Undrain:
		next.Drained = o.Kind == Drain
	case List:
		o.Listed = w.listed()
		o.Found = len(o.Listed) > 0
		o.Revision = w.revision
		return
	case Query:
		o.Found = ok && !in.Drained
		if o.Found {
			o.Seen.Value = in.Value
		}
		return
	}
	switch {
	case !o.Found:
	case o.Kind == Deregister:
		delete(w.there, o.ID)
		w.change(o.ID, in, true)
	case next == in:
		o.Seen = in
	default:
		next.Revision = w.revision + 1
		w.there[o.ID], o.Seen = next, next
		w.change(o.ID, next, false)
	}
}

// change tells the watchers.
func (w *world) change(id string, in Instance, deleted bool) {
	w.revision++
	state := "up"
	if in.Drained {
		state = "drained"
	}
	e := Event{
		Life: worldLife, Revision: w.revision, Service: w.h.Service, ID: id, Deleted: deleted, Instance: in, State: state,
		Data: fmt.Sprint(id, in, deleted), Time: w.now,
	}
	for i := range w.h.Streams {
		p := &w.h.Streams[i].Parts[len(w.h.Streams[i].Parts)-1]
		p.Events = append(p.Events, e)
	}
}

func (w *world) listed() []Listed {
	var all []Listed
	for _, id := range slices.Sorted(maps.Keys(w.there)) {
		all = append(all, Listed{id, w.there[id]})
	}
	return all
}

// transfer is the zone that a dnsd sends now.
func (w *world) transfer(at int) Transfer {
	t := Transfer{At: at, Life: w.h.Lives - 1, Serial: uint32(w.revision), Records: []string{fmt.Sprint("svc.\t5\tIN\tSOA\tns.svc. ", w.revision)}, Time: w.now}
	for _, l := range w.listed() {
		if !l.Drained {
			t.Records = append(t.Records, fmt.Sprintf("%s._history._tcp.svc.\t5\tIN\tTXT\t\"write=%s\"", l.ID, l.Value))
		}
	}
	return t
}

// finish ends the history.
func (w *world) finish() *History {
	for at := range 2 {
		w.h.Finals = append(w.h.Finals, Final{At: at, Life: worldLife, Revision: w.revision, Listed: w.listed(), Zone: w.transfer(at)})
	}
	return w.h
}

// events are those of one stream.
func events(h *History, stream int) []Event { return h.Streams[stream].Parts[0].Events }
