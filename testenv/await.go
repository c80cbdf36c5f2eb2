package testenv

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/register"
)

// patience bounds every wait, far above what a busy machine needs.
const patience = 30 * time.Second

// Published returns the instances of the nodes' service that dnsd publishes now.
func (e *Env) Published() []register.Published {
	e.t.Helper()
	instances, err := e.published(e.ctx)
	if err != nil {
		e.t.Fatal(err)
	}
	return instances
}

func (e *Env) published(ctx context.Context) ([]register.Published, error) {
	url := e.aHook() + "/v1/services/" + e.setup.Service
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, nil
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("testenv: GET %s: %s", url, resp.Status)
	}
	var s register.Service
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		return nil, err
	}
	return s.Instances, nil
}

// aHook is the URL of the hook of a dnsd that can be asked: the only one, or the first
// that is ready and has whole links.
func (e *Env) aHook() string {
	for i, d := range e.dnsds {
		whole := d.running != nil
		for _, l := range d.links() {
			b, _ := l.now()
			whole = whole && b == Whole
		}
		if whole && (len(e.dnsds) == 1 || d.ready(e.ctx) == nil) {
			return e.HookURLs()[i]
		}
	}
	return e.HookURL()
}

// Await returns when done is true of the instances that dnsd publishes of the nodes'
// service. It calls done after each event of dnsd's watch, and five times a second
// for what is no event: the renewal of a lease. After 30 s it fails the test.
func (e *Env) Await(what string, done func([]register.Published) bool) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.ctx, patience)
	defer cancel()
	changes, err := e.changes(ctx)
	if err != nil {
		e.t.Fatalf("testenv: waiting until %s: %v", what, err)
	}
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		instances, err := e.published(ctx)
		if err != nil {
			e.t.Fatalf("testenv: waiting until %s: %v", what, err)
		}
		if done(instances) {
			return
		}
		select {
		case <-changes:
		case <-again.C:
		case <-ctx.Done():
			e.t.Fatalf("testenv: waited %v until %s; published is %s", patience, what, describe(instances))
		}
	}
}

// changes receives a value after each event of dnsd's watch, until ctx ends.
func (e *Env) changes(ctx context.Context) (<-chan struct{}, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.aHook()+"/v1/watch?service="+e.setup.Service, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		cause, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		resp.Body.Close()
		return nil, fmt.Errorf("GET %s: %s: %s", req.URL, resp.Status, cause)
	}
	changes := make(chan struct{}, 1)
	go func() {
		defer resp.Body.Close() // ctx ends it at the latest
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "data:") {
				select {
				case changes <- struct{}{}:
				default: // a value is waiting, and serves for both
				}
			}
		}
	}()
	return changes, nil
}

// AwaitNodes returns when dnsd publishes the nodes that are not killed, under their
// present addresses, and nothing else.
func (e *Env) AwaitNodes() {
	e.t.Helper()
	var want []string
	for _, n := range e.nodes {
		if n.fault != Kill {
			want = append(want, n.ID+" "+n.Addr())
		}
	}
	slices.Sort(want)
	e.Await(fmt.Sprintf("%v are published", want), func(instances []register.Published) bool {
		var have []string
		for _, in := range instances {
			have = append(have, fmt.Sprintf("%s %s:%d", in.ID, in.Host, in.Port))
		}
		slices.Sort(have)
		return slices.Equal(have, want)
	})
}

func describe(instances []register.Published) string {
	var b strings.Builder
	for _, in := range instances {
		fmt.Fprintf(&b, "[%s %s:%d %s]", in.ID, in.Host, in.Port, in.State)
	}
	return b.String()
}

// Tests: instances_test.go.
