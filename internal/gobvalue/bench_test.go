package gobvalue

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

type row struct {
	ID    int64
	Name  string
	Score float64
	Tags  []string
}

type benchmark struct {
	name string
	size int // bytes or elements
	v    any
}

func benchmarks() (all []benchmark) {
	for _, size := range []int{16, 1 << 10, 64 << 10, 1 << 20} {
		all = append(all, benchmark{"bytes", size, &struct{ Data []byte }{make([]byte, size)}})
	}
	for _, size := range []int{16, 1 << 10} {
		all = append(all, benchmark{"string", size, &struct{ Text string }{strings.Repeat("x", size)}})
	}
	for _, size := range []int{10, 1000} {
		ints, rows, attrs := make([]int, size), make([]row, size), map[string]string{}
		for i := range size {
			ints[i] = i * 1000
			rows[i] = row{int64(i), fmt.Sprint("name ", i), float64(i) / 3, []string{"a tag", "another"}}
			attrs[fmt.Sprint("key ", i)] = "value"
		}
		all = append(all, benchmark{"ints", size, &struct{ Ints []int }{ints}}, benchmark{"rows", size, &struct{ Rows []row }{rows}},
			benchmark{"map", size, &struct{ Attrs map[string]string }{attrs}})
	}
	return append(all, benchmark{"args", 2, &struct{ A, B int }{7, 8}}, benchmark{"int", 1, new(int)})
}

func BenchmarkAppend(b *testing.B) {
	for _, m := range benchmarks() {
		name := fmt.Sprintf("value=%s/size=%d", m.name, m.size)
		p := newPen(new(Plans))
		_, difference := p.compare(m.v)
		out, ok := p.own.Append(nil, m.v)
		if !ok || difference != "" {
			b.Fatal(name, difference)
		}
		b.Run(name+"/by=gob", func(b *testing.B) {
			b.SetBytes(int64(len(out)))
			b.ReportAllocs()
			for b.Loop() {
				p.b.Reset()
				if err := p.gob.Encode(m.v); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/by=gobvalue", func(b *testing.B) {
			b.SetBytes(int64(len(out)))
			b.ReportAllocs()
			for b.Loop() {
				if out, ok = p.own.Append(out[:0], m.v); !ok {
					b.Fatal("not done")
				}
			}
		})
	}
}

// again gives the same message for ever.
type again struct{ bytes.Reader }

func (r *again) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if r.Len() == 0 {
		_, _ = r.Seek(0, 0)
	}
	return n, err
}

func BenchmarkDecode(b *testing.B) {
	for _, m := range benchmarks() {
		name := fmt.Sprintf("value=%s/size=%d", m.name, m.size)
		stream := encoded(b, m.v)
		message := LastMessage(stream)
		v := reflect.New(reflect.TypeOf(m.v).Elem())
		b.Run(name+"/by=gob", func(b *testing.B) {
			r := new(again)
			dec := gob.NewDecoder(r)
			r.Reset(stream)
			for r.Len() != len(message) {
				if err := dec.DecodeValue(v); err != nil {
					b.Fatal(err)
				}
				r.Reset(message)
			}
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				v.Elem().SetZero()
				if err := dec.DecodeValue(v); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/by=gobvalue", func(b *testing.B) {
			d := NewDecoder(new(Plans))
			for _, m := range split(stream[:len(stream)-len(message)]) {
				d.Define(m)
			}
			value := lastValue(stream)
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				v.Elem().SetZero()
				if !d.decode(value, v, nil) {
					b.Fatal("not done")
				}
			}
		})
	}
}
