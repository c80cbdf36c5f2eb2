//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/bench/internal/dnsload"
)

type options struct {
	services, instances, rounds int
	measure                     time.Duration
	only, over                  string
	json                        bool
	dnsd                        string
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "-echo" {
		if err := dnsload.Echo(os.Args[2], os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.IntVar(&o.services, "services", 100, "services in the zone")
	flag.IntVar(&o.instances, "instances", 10, "instances of each service")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each server is measured")
	flag.DurationVar(&o.measure, "for", 2*time.Second, "how long one measurement takes")
	flag.StringVar(&o.only, "only", "echo,dnsd,nsd,knot", "servers to measure")
	flag.StringVar(&o.over, "over", "udp,tcp", "transports; over TCP the queries are pipelined")
	flag.BoolVar(&o.json, "json", false, "every measurement as a JSON line")
	flag.StringVar(&o.dnsd, "dnsd", "", "dnsd's program; default: built from ./dnsd/cmd/dnsd")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "dns:", err)
		os.Exit(1)
	}
}

// sample is one server measured once.
type sample struct {
	Server    string  `json:"server"`
	Transport string  `json:"transport"`
	QPS       float64 `json:"qps"`
	CPU       float64 `json:"cpu_us"` // of the server, for each answer
	Busy      float64 `json:"busy"`   // share of its core
	Bytes     int     `json:"bytes"`  // of an answer
	Lost      int     `json:"lost"`
}

func run(o options) error {
	if runtime.NumCPU() < 2 {
		return errors.New("needs two cores: one for the server, one for the generator")
	}
	dir, err := os.MkdirTemp("", "peers-dns")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.dnsd == "" {
		o.dnsd = filepath.Join(dir, "dnsd")
		build := exec.Command("go", "build", "-o", o.dnsd, "./dnsd/cmd/dnsd")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build dnsd (run this from the module's root): %w\n%s", err, out)
		}
	}
	servers, stop, err := startServers(o, dir)
	defer stop()
	if err != nil {
		return err
	}
	load := dnsload.New(o.services)
	for over := range strings.SplitSeq(o.over, ",") {
		samples := make(map[string][]sample)
		for round := range o.rounds {
			// Each round begins with another server, so that none is always
			// the one that finds a cold or a warm machine.
			for i := range servers {
				s := servers[(i+round)%len(servers)]
				one, err := measure(o, load, over, s)
				if err != nil {
					return fmt.Errorf("%s over %s: %w", s.name, over, err)
				}
				samples[s.name] = append(samples[s.name], one)
				if o.json {
					json.NewEncoder(os.Stdout).Encode(one)
				}
			}
		}
		if !o.json {
			table(os.Stdout, o, over, servers, samples)
		}
	}
	for _, s := range servers {
		if s.version != "" {
			fmt.Fprintf(os.Stderr, "%s: %s\n", s.name, s.version)
		}
	}
	return nil
}

// measure asks one server for a while.
func measure(o options, l *dnsload.Load, over string, s *server) (sample, error) {
	dnsload.Pin(s.cmd.Process.Pid, dnsload.ServerCore)
	ask := l.UDP
	if over == "tcp" {
		ask = l.TCP
	}
	if _, err := ask(s.addr, o.measure/4); err != nil { // warms up
		return sample{}, err
	}
	before, err := dnsload.CPUTime(s.cmd.Process.Pid)
	if err != nil {
		return sample{}, err
	}
	r, err := ask(s.addr, o.measure)
	if err != nil {
		return sample{}, err
	}
	after, err := dnsload.CPUTime(s.cmd.Process.Pid)
	if err != nil {
		return sample{}, err
	}
	if r.Answers == 0 {
		return sample{}, errors.New("no answers")
	}
	used := after - before
	return sample{
		Server: s.name, Transport: over, QPS: float64(r.Answers) / r.Took.Seconds(),
		CPU:  float64(used.Microseconds()) / float64(r.Answers),
		Busy: used.Seconds() / r.Took.Seconds(), Bytes: r.Bytes, Lost: r.Lost,
	}, nil
}

func table(w io.Writer, o options, over string, servers []*server, samples map[string][]sample) {
	fmt.Fprintf(w, "SRV over %s, %d services x %d instances, %d rounds of %v, server on one core\n\n", over, o.services, o.instances, o.rounds, o.measure)
	fmt.Fprintf(w, "| server | CPU us/answer (min-max) | to echo | to dnsd | answers/s | busy | bytes | lost |\n|---|---|---|---|---|---|---|---|\n")
	cpu := make(map[string]float64)
	for name, all := range samples {
		cpu[name] = median(all, func(s sample) float64 { return s.CPU })
	}
	ratio := func(name, to string) string {
		if cpu[to] == 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f", cpu[name]/cpu[to])
	}
	for _, s := range servers {
		all := samples[s.name]
		lost := 0
		lo, hi := all[0].CPU, all[0].CPU
		for _, one := range all {
			lost += one.Lost
			lo, hi = min(lo, one.CPU), max(hi, one.CPU)
		}
		fmt.Fprintf(w, "| %s | %.2f (%.2f-%.2f) | %s | %s | %.0fk | %.2f | %d | %d |\n", s.name, cpu[s.name], lo, hi,
			ratio(s.name, "echo"), ratio(s.name, "dnsd"), median(all, func(s sample) float64 { return s.QPS })/1000,
			median(all, func(s sample) float64 { return s.Busy }), all[0].Bytes, lost)
	}
	fmt.Fprintln(w)
}

func median(all []sample, f func(sample) float64) float64 {
	v := make([]float64, len(all))
	for i, s := range all {
		v[i] = f(s)
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func wanted(o options, name string) bool {
	return slices.Contains(strings.Split(o.only, ","), name)
}
