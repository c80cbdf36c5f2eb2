// Package metrics reads Prometheus' text format, as far as dnsd writes it: one sample a
// line, with or without labels. docs/metrics.md has the names.
package metrics

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Sample is one value.
type Sample struct {
	Name   string
	Labels map[string]string
	Value  float64
}

// Samples are all values of one answer.
type Samples []Sample

// Parse reads the text. An error names the line.
func Parse(text []byte) (Samples, error) {
	var all Samples
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		s, err := sample(line)
		if err != nil {
			return nil, fmt.Errorf("metrics: line %d: %w", n, err)
		}
		all = append(all, s)
	}
	return all, lines.Err()
}

// sample reads one line: name{label="value",...} value [timestamp].
func sample(line string) (s Sample, err error) {
	end := strings.IndexAny(line, "{ ")
	if end <= 0 {
		return s, fmt.Errorf("%q is no sample", line)
	}
	s.Name = line[:end]
	rest := line[end:]
	if rest[0] == '{' {
		if s.Labels, rest, err = labels(rest[1:]); err != nil {
			return s, err
		}
	}
	value, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	if s.Value, err = strconv.ParseFloat(value, 64); err != nil {
		return s, fmt.Errorf("%s: bad value %q", s.Name, value)
	}
	return s, nil
}

// labels reads name="value",...} and returns what follows.
func labels(text string) (map[string]string, string, error) {
	all := map[string]string{}
	for {
		text = strings.TrimLeft(text, ", ")
		if rest, ok := strings.CutPrefix(text, "}"); ok {
			return all, rest, nil
		}
		name, rest, ok := strings.Cut(text, `="`)
		if !ok {
			return nil, "", fmt.Errorf("bad label %q", text)
		}
		var value strings.Builder
		i := 0
		for ; i < len(rest) && rest[i] != '"'; i++ {
			if rest[i] == '\\' && i+1 < len(rest) {
				if i++; rest[i] == 'n' {
					value.WriteByte('\n')
					continue
				}
			}
			value.WriteByte(rest[i])
		}
		if i == len(rest) {
			return nil, "", fmt.Errorf("the value of label %q has no end", name)
		}
		all[name], text = value.String(), rest[i+1:]
	}
}

// Sum adds the values of a name; ok: there is one.
func (s Samples) Sum(name string) (sum float64, ok bool) {
	for _, v := range s {
		if v.Name == name {
			sum, ok = sum+v.Value, true
		}
	}
	return sum, ok
}

// By returns the values of a name by one of its labels.
func (s Samples) By(name, label string) map[string]float64 {
	by := map[string]float64{}
	for _, v := range s {
		if v.Name == name {
			by[v.Labels[label]] += v.Value
		}
	}
	return by
}
