package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// A summary is the last output of the demo.
type summary struct {
	Seconds float64 `json:"seconds"`
	Calls   int64   `json:"calls"`
	Failed  int64   `json:"failed"`
	Retried int64   `json:"retried"`
	Kills   int     `json:"kills"`
	// PerInstance is how many calls each instance answered, by id, over all its
	// lives.
	PerInstance map[string]int64 `json:"per_instance"`
	// KillToLastCall is, for each kill, the time from the kill to the last call
	// sent to the dead address; 0 if none was.
	KillToLastCall []killed `json:"kill_to_last_call"`
	// KillToWrite is, for each kill of the dnsd that wrote, the time until another one
	// took a registration. Nil: there was one dnsd.
	KillToWrite []killed `json:"kill_to_write,omitempty"`
	FirstError  string   `json:"first_error,omitempty"`
	P50         string   `json:"p50"`
	P99         string   `json:"p99"`
	Max         string   `json:"max"`
}

type killed struct {
	ID string  `json:"id"`
	MS float64 `json:"ms"`
}

func (s *summary) print(w io.Writer, asJSON bool) {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.Encode(s)
		return
	}
	fmt.Fprintf(w, "\n%d calls in %.0f s: %d failed, %d retried on another node; latency p50 %s, p99 %s, max %s\n",
		s.Calls, s.Seconds, s.Failed, s.Retried, s.P50, s.P99, s.Max)
	ids := make([]string, 0, len(s.PerInstance))
	for id := range s.PerInstance {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		fmt.Fprintf(w, "  %-4s answered %d\n", id, s.PerInstance[id])
	}
	if s.Kills == 0 {
		fmt.Fprintln(w, "no server was killed")
	} else {
		fmt.Fprintf(w, "%d kills (SIGKILL); time from each kill to the last call that was sent to the dead server:", s.Kills)
		for _, k := range s.KillToLastCall {
			fmt.Fprintf(w, " %s %.1f ms", k.ID, k.MS)
		}
		fmt.Fprintln(w)
	}
	if len(s.KillToWrite) > 0 {
		fmt.Fprintf(w, "%d kills of the dnsd that wrote; time until another one took a registration:", len(s.KillToWrite))
		for _, k := range s.KillToWrite {
			fmt.Fprintf(w, " %s %.0f ms", k.ID, k.MS)
		}
		fmt.Fprintln(w)
	}
	if s.FirstError != "" {
		fmt.Fprintln(w, "first error:", s.FirstError)
	}
}

// percentile of sorted latencies; 0 of none.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}
