//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// hooks is a client of some hooks.
type hooks struct {
	http *http.Client
	urls []string
}

func newHooks(conns int, nodes ...*node) *hooks {
	h := &hooks{http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: conns}}}
	for _, n := range nodes {
		h.urls = append(h.urls, n.hook)
	}
	return h
}

func (h *hooks) close() { h.http.CloseIdleConnections() }

// do makes a request to the hook whose turn it is.
func (h *hooks) do(ctx context.Context, turn int64, method, path, body string, want ...int) error {
	req, err := http.NewRequestWithContext(ctx, method, h.urls[turn%int64(len(h.urls))]+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := h.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	for _, w := range want {
		if resp.StatusCode == w {
			return nil
		}
	}
	return fmt.Errorf("%s %s: %s: %s", method, req.URL, resp.Status, answer)
}

// register registers instance n of a row; ten are a service. Again, it renews.
func (h *hooks) register(ctx context.Context, row string, n int64) error {
	return h.do(ctx, n, http.MethodPut, instancePath(row, n), value(n, 100), http.StatusCreated, http.StatusOK)
}

func instancePath(row string, n int64) string {
	return fmt.Sprintf("/v1/services/_%s%d._tcp/instances/a%d", row, n/10, n)
}

// value is what is registered, the same for all.
func value(n int64, weight int) string {
	return fmt.Sprintf(`{"host":"10.%d.%d.%d","port":8080,"priority":10,"weight":%d,"lease":"1h"}`, n>>16&255, n>>8&255, n&255, weight)
}
