package register

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// levels is a Logger's handler that keeps level and message.
type levels struct {
	mu    sync.Mutex
	lines []string
}

func (*levels) Enabled(context.Context, slog.Level) bool { return true }
func (v *levels) WithAttrs([]slog.Attr) slog.Handler     { return v }
func (v *levels) WithGroup(string) slog.Handler          { return v }
func (v *levels) Handle(_ context.Context, r slog.Record) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lines = append(v.lines, r.Level.String()+" "+r.Message)
	return nil
}

// take returns the lines since the last call, each with how often it is there.
func (v *levels) take() map[string]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := map[string]int{}
	for _, line := range v.lines {
		out[line]++
	}
	v.lines = nil
	return out
}

// TestLevelsOfTheLog are those of docs/metrics-go.md.
func TestLevelsOfTheLog(t *testing.T) {
	const some = -1 // times, one at least
	gone := func(w http.ResponseWriter, _ *http.Request) bool { fail(w, 503, "", "no writer"); return true }
	cannotHold := func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/hold") {
			return false
		}
		fail(w, 501, "", "no holds here")
		return true
	}
	change := func(weight uint16, fault func(http.ResponseWriter, *http.Request) bool) func(*fakeHook, memory, *Lease) {
		return func(f *fakeHook, _ memory, l *Lease) {
			f.setFault(fault)
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			reg := l.Registration()
			reg.Weight = &weight
			_ = l.Update(ctx, reg) // given up: it goes on
		}
	}
	type step struct {
		do    func(f *fakeHook, net memory, l *Lease)
		after time.Duration
		want  map[string]int
	}
	for name, tt := range map[string]struct {
		begin func(f *fakeHook, net memory, cfg *Config)
		steps []step
	}{
		"registered, and closed": {steps: []step{
			{after: time.Second, want: map[string]int{"INFO registered": 1, "INFO registration held": 1}},
			{do: func(_ *fakeHook, _ memory, l *Lease) { l.Close(context.Background()) }, want: map[string]int{"INFO registration closed": 1}},
		}},
		"no hook for a while": {
			begin: func(_ *fakeHook, net memory, _ *Config) { net.set("hook", nil) },
			steps: []step{
				{after: 59 * time.Second, want: map[string]int{"WARN registration failed, trying again": 1, "DEBUG registration failed, trying again": some}},
				{after: 10 * time.Second, want: map[string]int{"WARN registration failed, trying again": 1, "DEBUG registration failed, trying again": some}},
				{after: 2 * time.Hour, want: map[string]int{"WARN registration failed, trying again": 5, "DEBUG registration failed, trying again": some}},
				{do: func(f *fakeHook, net memory, _ *Lease) { net.set("hook", f) }, after: 10 * time.Second, want: map[string]int{"INFO registered": 1, "INFO registration held": 1}},
			},
		},
		"one of two hooks": {
			begin: func(_ *fakeHook, _ memory, cfg *Config) { cfg.Hooks = []string{"http://away", "http://hook"} },
			steps: []step{{after: time.Second, want: map[string]int{"INFO registration failed, trying the next hook": 1, "INFO registered": 1, "INFO registration held": 1}}},
		},
		"refused": {
			begin: func(_ *fakeHook, _ memory, cfg *Config) { cfg.Weight, cfg.Background = Uint16(666), false },
			steps: []step{{want: map[string]int{"ERROR registration refused": 1, "INFO registration closed": 1}}},
		},
		"lost and found": {steps: []step{
			{after: time.Second, want: map[string]int{"INFO registered": 1, "INFO registration held": 1}},
			{do: func(f *fakeHook, _ memory, _ *Lease) { f.setFault(gone); f.forget() }, after: time.Minute, want: map[string]int{"INFO hold ended, registering again": 1, "WARN registration retrying": 1, "DEBUG registration not confirmed, trying again": some}},
			{do: func(f *fakeHook, _ memory, _ *Lease) { f.setFault(nil) }, after: time.Minute, want: map[string]int{"INFO registration renewed": 1, "INFO registration held": 1}},
		}},
		"lost for hours": {steps: []step{
			{after: time.Second, want: map[string]int{"INFO registered": 1, "INFO registration held": 1}},
			{do: func(f *fakeHook, _ memory, _ *Lease) { f.setFault(gone); f.forget() }, after: time.Minute, want: map[string]int{"INFO hold ended, registering again": 1, "WARN registration retrying": 1, "DEBUG registration not confirmed, trying again": some}},
			{after: 10 * time.Second, want: map[string]int{"WARN registration not confirmed, trying again": 1, "DEBUG registration not confirmed, trying again": some}},
			{after: 2 * time.Hour, want: map[string]int{"WARN registration not confirmed, trying again": 5, "DEBUG registration not confirmed, trying again": some}},
			{do: func(f *fakeHook, _ memory, _ *Lease) { f.setFault(nil) }, after: time.Minute, want: map[string]int{"INFO registration renewed": 1, "INFO registration held": 1}},
			{do: func(f *fakeHook, _ memory, _ *Lease) { f.setFault(gone); f.forget() }, after: 50 * time.Second, want: map[string]int{"INFO hold ended, registering again": 1, "WARN registration retrying": 1, "DEBUG registration not confirmed, trying again": some}},
		}},
		"drained by an operator": {steps: []step{
			{after: time.Second, want: map[string]int{"INFO registered": 1, "INFO registration held": 1}},
			{do: func(f *fakeHook, _ memory, _ *Lease) { f.drain("a1", true) }, want: map[string]int{"WARN instance drained by an operator: new clients are sent elsewhere": 1}},
			{do: func(f *fakeHook, _ memory, _ *Lease) { f.drain("a1", false) }, want: map[string]int{"INFO instance no longer drained: clients are sent here again": 1}},
		}},
		"a change that is not taken, and taken": {steps: []step{
			{after: time.Second, want: map[string]int{"INFO registered": 1, "INFO registration held": 1}},
			{do: change(7, func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPut {
					fail(w, 507, "", "the store has no space left")
				}
				return r.Method == http.MethodPut
			}), after: 59 * time.Second, want: map[string]int{"WARN change not taken, trying again": 1, "DEBUG change not taken, trying again": some}},
			{after: 10 * time.Second, want: map[string]int{"WARN change not taken, trying again": 1, "DEBUG change not taken, trying again": some}},
			{after: 2 * time.Hour, want: map[string]int{"WARN change not taken, trying again": 5, "DEBUG change not taken, trying again": some}},
			{do: func(f *fakeHook, _ memory, _ *Lease) { f.setFault(nil) }, after: time.Minute, want: map[string]int{"INFO change taken": 1}},
		}},
		"a change that is refused": {steps: []step{
			{after: time.Second, want: map[string]int{"INFO registered": 1, "INFO registration held": 1}},
			{do: change(666, nil), after: time.Minute, want: map[string]int{"WARN change refused, the former registration goes on": 1}},
		}},
		"replaced": {steps: []step{
			{after: time.Second, want: map[string]int{"INFO registered": 1, "INFO registration held": 1}},
			{do: func(f *fakeHook, _ memory, _ *Lease) { f.put("a1", Registration{Port: 9, Incarnation: 6}) }, after: 10 * time.Second, want: map[string]int{"INFO hold ended, registering again": 1, "ERROR registration replaced": 1}},
		}},
		"the clock was set back": {
			begin: func(f *fakeHook, _ memory, cfg *Config) {
				f.put("a1", Registration{Port: 8080, Incarnation: uint64(time.Now().Add(time.Hour).UnixMilli())})
				cfg.Incarnation = 0
			},
			steps: []step{{after: time.Second, want: map[string]int{"WARN the clock was set back: taking a higher incarnation than the registered one": 1, "INFO registered": 1, "INFO registration held": 1}}},
		},
		"no hold": {
			begin: func(f *fakeHook, _ memory, _ *Config) { f.setFault(cannotHold) },
			steps: []step{{after: time.Second, want: map[string]int{"INFO registered": 1, "INFO renewing instead of holding": 1}}},
		},
		"a panic in OnChange": {
			begin: func(_ *fakeHook, _ memory, cfg *Config) { cfg.OnChange = func(Status) { panic("no") } },
			steps: []step{{after: time.Second, want: map[string]int{"INFO registered": 1, "INFO registration held": 1, "ERROR panic in OnChange": 2}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var v levels
				f := newFakeHook()
				net := memory{"hook": f}
				cfg := config(net)
				cfg.Logger, cfg.Background = slog.New(&v), true
				if tt.begin != nil {
					tt.begin(f, net, &cfg)
				}
				l, err := keep(t.Context(), cfg, half)
				if err == nil {
					defer l.Close(context.Background())
				}
				for i, s := range tt.steps {
					if s.do != nil {
						s.do(f, net, l)
					}
					time.Sleep(s.after)
					synctest.Wait()
					got := v.take()
					for line, n := range s.want {
						if has := got[line]; n == some && has == 0 || n != some && has != n {
							t.Errorf("step %d: %d times %q, want %d", i, has, line, n)
						}
						delete(got, line)
					}
					if len(got) > 0 {
						t.Errorf("step %d: also %v", i, got)
					}
				}
			})
		})
	}
}
