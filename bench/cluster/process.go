//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rollcall-dns/rollcall/bench/internal/measure"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
)

// node is one dnsd.
type node struct {
	name     string
	dns      netip.AddrPort
	hook     string // its URL
	corefile string
	data     string // its store
	program  string
	cmd      *exec.Cmd // nil: it does not run
	log      *os.File
}

// start starts a dnsd that does not run. It ends with this process, however that ends.
func (n *node) start() (err error) {
	if n.log, err = os.OpenFile(n.corefile+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return err
	}
	cmd := exec.Command(n.program, "-conf", n.corefile)
	cmd.Stdout, cmd.Stderr = n.log, n.log
	if *verbose {
		cmd.Stderr = os.Stderr
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	n.cmd = cmd
	return nil
}

// end sends a signal that ends it, and waits. A clean stop may take longer than the others
// need to go on.
func (n *node) end(s os.Signal) {
	if n.cmd == nil {
		return
	}
	n.cmd.Process.Signal(s)
	n.cmd.Wait() // its status is what was asked for
	n.log.Close()
	n.cmd = nil
}

func (n *node) signal(s os.Signal) error { return n.cmd.Process.Signal(s) }

// said is the end of its log.
func (n *node) said() string {
	b, _ := os.ReadFile(n.corefile + ".log")
	return n.name + ": " + string(b[max(0, len(b)-2048):])
}

// ready says why it is not.
func (n *node) ready(ctx context.Context) error { return get(ctx, n.hook+"/readyz", nil) }

var asker = &http.Client{Timeout: 2 * time.Second}

// get asks for a page, and reads its JSON if into is not nil.
func get(ctx context.Context, url string, into any) error {
	body, err := read(ctx, url)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// read asks for a page.
func read(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := asker.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, body)
	}
	return body, err
}

// single makes a dnsd that is alone, on a store: "memory", or "bolt FILE".
func single(p programs, name, store string) (*node, error) {
	addrs := freeaddr.Take(2)
	return configure(p, name, addrs[0], addrs[1], store)
}

// configure writes a Corefile. The limit of requests protects dnsd from one client; here
// one is all.
func configure(p programs, name string, dns, hook netip.AddrPort, store string) (*node, error) {
	n := &node{name: name, dns: dns, hook: "http://" + hook.String(), corefile: filepath.Join(p.work, name+".conf"), program: p.dnsd}
	level := "error"
	if *verbose {
		level = "warn" // each registration is an info
	}
	text := fmt.Sprintf(`svc:%d {
    bind 127.0.0.1
    hook %s {
        rate 10000000
    }
    lease 1h
    limits {
        instances 10000000
    }
    store %s
    log %s
}
`, dns.Port(), hook, store, level)
	return n, os.WriteFile(n.corefile, []byte(text), 0o600)
}

// cluster is three dnsd with a store of their own.
type cluster struct{ nodes []*node }

// names of its members.
var names = []string{"a", "b", "c"}

// newCluster starts a cluster and waits until all of it is ready. The peers are on
// loopback, so they do without TLS.
func newCluster(ctx context.Context, p programs) (*cluster, error) {
	work, err := os.MkdirTemp(p.work, "")
	if err != nil {
		return nil, err
	}
	p.work = work
	const each = 4 // addresses
	addrs := freeaddr.Take(each * len(names))
	var peers strings.Builder
	for i, name := range names {
		fmt.Fprintf(&peers, "        peer %s http://%s\n", name, addrs[each*i+2])
	}
	c := new(cluster)
	for i, name := range names {
		a := addrs[each*i:]
		data := filepath.Join(work, name)
		n, err := configure(p, name, a[0], a[1], fmt.Sprintf("cluster %s {\n        name %s\n%s        listen %s\n    }", data, name, &peers, a[3]))
		if err != nil {
			return nil, err
		}
		n.data = data
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		if err := n.start(); err != nil {
			c.stop()
			return nil, err
		}
	}
	err = c.settled(ctx)
	if err == nil {
		err = rest(ctx) // the server of the writer lets another one lead
	}
	if err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// rest waits a while.
func rest(ctx context.Context) error {
	select {
	case <-time.After(*calm):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop ends all.
func (c *cluster) stop() {
	for _, n := range c.nodes {
		n.end(syscall.SIGKILL)
	}
}

// state is what GET /v1/cluster says.
type state struct {
	Writer  string `json:"writer"`
	Members []struct {
		Name, Role, Error string
		Revision          uint64
	} `json:"members"`
}

// settled waits until all are ready and all agree on the writer and on the members.
func (c *cluster) settled(ctx context.Context) error {
	err := measure.Await(ctx, time.Minute, func(ctx context.Context) error {
		writer := ""
		for _, n := range c.nodes {
			if err := n.ready(ctx); err != nil {
				return err
			}
			var s state
			if err := get(ctx, n.hook+"/v1/cluster", &s); err != nil {
				return err
			}
			switch {
			case s.Writer == "" || writer != "" && s.Writer != writer:
				return fmt.Errorf("member %s says that the writer is %q, another %q", n.name, s.Writer, writer)
			case len(s.Members) != len(c.nodes):
				return fmt.Errorf("member %s knows %d members", n.name, len(s.Members))
			}
			writer = s.Writer
		}
		return nil
	})
	if err != nil {
		for _, n := range c.nodes {
			err = fmt.Errorf("%w\n%s", err, n.said())
		}
	}
	return err
}

// roles tells the writer from its followers.
func (c *cluster) roles(ctx context.Context) (writer *node, followers []*node, err error) {
	var s state
	if err := get(ctx, c.nodes[0].hook+"/v1/cluster", &s); err != nil {
		return nil, nil, err
	}
	for _, n := range c.nodes {
		if n.name == s.Writer {
			writer = n
		} else {
			followers = append(followers, n)
		}
	}
	if writer == nil {
		return nil, nil, fmt.Errorf("no member is called %q", s.Writer)
	}
	return writer, followers, nil
}
