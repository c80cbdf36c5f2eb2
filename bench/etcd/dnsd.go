package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/rollcall-dns/rollcall/bench/internal/measure"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
)

// measureDnsd starts a dnsd on a bolt store and registers over its hook.
func measureDnsd(ctx context.Context, binary, dir string) (float64, error) {
	addrs := freeaddr.Take(2)
	conf := filepath.Join(dir, "Corefile")
	// The limit of requests protects dnsd from one client; here one is all.
	err := os.WriteFile(conf, fmt.Appendf(nil, `svc:%d {
    bind 127.0.0.1
    hook %s {
        rate 1000000
    }
    store bolt %s
    log error
}
`, addrs[0].Port(), addrs[1], filepath.Join(dir, "svc.db")), 0o600)
	if err != nil {
		return 0, err
	}
	stop, log, err := process(binary, "-conf", conf)
	if err != nil {
		return 0, err
	}
	defer stop()

	hook := "http://" + addrs[1].String()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *clients}}
	defer client.CloseIdleConnections()
	do := func(ctx context.Context, method, path, body string, want int) error {
		req, err := http.NewRequestWithContext(ctx, method, hook+path, strings.NewReader(body))
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		if resp.StatusCode != want {
			return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
		}
		return nil
	}
	if err := measure.Await(ctx, starting, func(ctx context.Context) error { return do(ctx, "GET", "/readyz", "", 200) }); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, log())
	}
	rate, err := measure.Rate(ctx, *clients, *span, func(ctx context.Context, n int64) error {
		return do(ctx, "PUT", fmt.Sprintf("/v1/services/_s%d._tcp/instances/a%d", n/10, n), value(n), 201)
	})
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", err, log())
	}
	return rate, nil
}
