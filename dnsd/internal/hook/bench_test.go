package hook

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// void is a response writer that discards everything.
type void struct {
	header http.Header
	status int
}

func (v *void) Header() http.Header         { return v.header }
func (v *void) WriteHeader(status int)      { v.status = status }
func (v *void) Write(p []byte) (int, error) { return len(p), nil }

func (h *hook) serveInto(b *testing.B, v *void, method, path string, body *bytes.Reader) {
	req, err := http.NewRequest(method, "http://127.0.0.1"+path, body)
	if err != nil {
		b.Fatal(err)
	}
	req.RemoteAddr = "127.0.0.1:1"
	v.status = 0
	clear(v.header)
	h.handler.ServeHTTP(v, req)
	if v.status != http.StatusOK {
		b.Fatal(v.status)
	}
}

func BenchmarkRenew(b *testing.B) {
	h := start(b, func(c *Config, _ *registry.Config) { c.Audit = nil })
	v := &void{header: make(http.Header)}
	const body = `{"host":"10.0.0.7","port":8080,"priority":10,"weight":100,"ttl":"5s","lease":"15s","meta":{"version":"1.2"},"incarnation":1}`
	h.put(a1, body)
	b.Run("put", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.serveInto(b, v, "PUT", a1, bytes.NewReader([]byte(body)))
		}
	})
	keys := make([]string, 1000)
	for i := range keys {
		path := fmt.Sprintf("_math._tcp/i%d", i)
		keys[i] = `"` + path + `"`
		h.put("/v1/services/"+strings.Replace(path, "/", "/instances/", 1), body)
	}
	batch := []byte(`{"instances":[` + strings.Join(keys, ",") + `]}`)
	b.Run("batch=1000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.serveInto(b, v, "POST", "/v1/renew", bytes.NewReader(batch))
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/instance")
	})
}

// BenchmarkWatch measures one change until it was written to all watchers.
func BenchmarkWatch(b *testing.B) {
	for _, watchers := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("watchers=%d", watchers), func(b *testing.B) {
			h := start(b, func(c *Config, _ *registry.Config) { c.Audit = nil })
			ctx, cancel := context.WithCancel(b.Context())
			got, running := h.sinks(ctx, watchers)
			for range watchers {
				<-got
			}
			in := registry.Instance{Key: keyA1, Host: "127.0.0.1", Weight: 100}
			for b.Loop() {
				in.Port = in.Port%60000 + 1
				if _, err := h.registry.Register(ctx, in); err != nil {
					b.Fatal(err)
				}
				for range watchers {
					<-got
				}
			}
			cancel()
			running.Wait()
		})
	}
}
