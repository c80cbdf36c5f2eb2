package resolver

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/pushjudge"
)

func TestPaceAllowsABurstAndThenSoManyASecond(t *testing.T) {
	for _, tt := range []struct {
		octets   int
		messages int // at once
		each     time.Duration
	}{
		{0, 320_000, 50 * time.Microsecond},
		{16_000, 3950, 4050 * time.Microsecond},
	} {
		var p pace
		now := time.Now()
		n := 0
		for ; p.take(now, tt.octets) == 0; n++ {
		}
		if n != tt.messages {
			t.Errorf("%d messages of %d octets at once, want %d", n, tt.octets, tt.messages)
		}
		p.take(now.Add(time.Hour), tt.octets)
		if p.spent != tt.each {
			t.Errorf("an hour later a message of %d octets counts %v, want %v", tt.octets, p.spent, tt.each)
		}
	}
}

// TestAServerThatSendsWithoutEndIsReadSlowly: it says so in the log once, and goes on to follow.
func TestAServerThatSendsWithoutEndIsReadSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int64
		r, _, _ := judging(t, func(j *judged) error {
			if err := j.follow(t); err != nil {
				return err
			}
			flood := pushjudge.Message{TLVs: []pushjudge.TLV{
				tlv(pushjudge.KeepAlive, pushjudge.Times(time.Hour, time.Hour)...), tlv(pushjudge.Padding, make([]byte, 15_984)...),
			}}.Frame()
			begin := time.Now()
			for ; time.Since(begin) < 4*time.Second; sent.Add(1) {
				if err := j.raw(flood...); err != nil {
					return err
				}
			}
			if err := j.Set(j.id, 0, 2, instances(t, 3)[4:]...); err != nil {
				return err
			}
			return j.stay()
		})
		var log bytes.Buffer
		r.Logger = slog.New(slog.NewTextHandler(&log, nil))
		w := watch(t, r, mathTCP)
		time.Sleep(10 * time.Second)
		if n, most := sent.Load(), int64(3950+4*250); n < most-100 || n > most+10 {
			t.Errorf("%d messages of 16,000 octets in 4 s, want about %d", n, most)
		}
		if f := r.Freshness(mathTCP); f.By != "push" || f.Revision != 2 || len(w.last().Endpoints) != 3 {
			t.Errorf("%+v, %d endpoints", f, len(w.last().Endpoints))
		}
		w.close()
		if n := strings.Count(log.String(), "is read slowly"); n != 1 {
			t.Errorf("%d lines in the log:\n%s", n, &log)
		}
	})
}
