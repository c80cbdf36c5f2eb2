package nameserver

import (
	"encoding/hex"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/tools/txtar"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

// TestGoldens asks a server over its sockets and compares the answers with
// testdata/answer, in dig's form. A file states its rule in the comment and has
// a section for each question, whose name is the question as typed for dig: name,
// type, and options:
//
//	+tcp +bufsize=N +do +edns=VERSION +nsid +cookie=HEX
//	+ednsopt=CODE:HEX +opcode=NAME +class=NAME +rd +cd +qdcount=N +garbage
func TestGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/answer/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	ins := instances("_math._tcp", 3)
	ins = append(ins, instances("_ten._tcp", 10)...)
	ins = append(ins, instances("_fifty._tcp", 50)...)
	startBoth(t, Config{
		Zones: []Zone{{Zone: testZone(t, ins...)}}, NSID: "ns1.example",
	}, func(t *testing.T, s *Server) {
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
				checkGolden(t, file, func(line string) string {
					reply, network := askAs(t, s, line)
					return digForm(t, line, reply, network)
				})
			})
		}
	})
}

// TestGoldensOfStates does the same for zones that are not as usual. A file of
// testdata/state is named by the state. Below dig's form are the octets of the answer.
func TestGoldensOfStates(t *testing.T) {
	for state, z := range map[string]*zone.Zone{"notready": absent(t, "svc."), "stale": stale(t, "svc.", append(instances("_math._tcp", 3), instances("_fifty._tcp", 50)...)...)} {
		t.Run(state, func(t *testing.T) {
			startBoth(t, Config{Zones: []Zone{{Zone: z, Transfer: []Secondary{{Prefix: loopback}}}}, NSID: "ns1.example"}, func(t *testing.T, s *Server) {
				checkGolden(t, "testdata/state/"+state+".txtar", func(line string) string {
					reply, network := askAs(t, s, line)
					return digForm(t, line, reply, network) + hex.Dump(reply)
				})
			})
		})
	}
}

// checkGolden compares each section of a file with what its name gives.
func checkGolden(t *testing.T, file string, gives func(line string) string) {
	t.Helper()
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range ar.Files {
		f := &ar.Files[i]
		got := gives(f.Name)
		if *update {
			f.Data = []byte(got)
		} else if got != string(f.Data) {
			t.Errorf("%s\ngot:\n%s\nwant:\n%s", f.Name, got, f.Data)
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// askAs asks as a line says, with the ID 1.
func askAs(t *testing.T, s *Server, line string) (reply []byte, network string) {
	t.Helper()
	args := strings.Fields(line)
	qtype, ok := dns.StringToType[args[1]]
	if !ok {
		t.Fatalf("%s: no such type", line)
	}
	m := new(dns.Msg).SetQuestion(args[0], qtype)
	m.Id, m.RecursionDesired = 1, false
	network = "udp"
	tail := 0
	qdcount := -1
	opt := func() *dns.OPT {
		if m.IsEdns0() == nil {
			m.SetEdns0(1232, false)
		}
		return m.IsEdns0()
	}
	for _, a := range args[2:] {
		key, value, _ := strings.Cut(a, "=")
		n, nerr := strconv.Atoi(value)
		switch {
		case key == "+tcp":
			network = "tcp"
		case key == "+bufsize" && nerr == nil:
			opt().SetUDPSize(uint16(n))
		case key == "+do":
			opt().SetDo()
		case key == "+edns" && nerr == nil:
			opt().SetVersion(uint8(n))
		case key == "+nsid":
			opt().Option = append(opt().Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
		case key == "+cookie":
			opt().Option = append(opt().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: value})
		case key == "+ednsopt":
			code, data, _ := strings.Cut(value, ":")
			c, err := strconv.Atoi(code)
			raw, herr := hex.DecodeString(data)
			if err != nil || herr != nil {
				t.Fatalf("%s: bad option", line)
			}
			opt().Option = append(opt().Option, &dns.EDNS0_LOCAL{Code: uint16(c), Data: raw})
		case key == "+opcode":
			m.Opcode = dns.StringToOpcode[value]
		case key == "+class":
			m.Question[0].Qclass = dns.StringToClass[value]
		case key == "+rd":
			m.RecursionDesired = true
		case key == "+cd":
			m.CheckingDisabled = true
		case key == "+qdcount" && nerr == nil:
			qdcount = n
		case key == "+garbage":
			tail = 3
		default:
			t.Fatalf("%s: unknown option %s", line, a)
		}
	}
	if qdcount == 0 {
		m.Question = nil
	}
	for len(m.Question) < qdcount {
		m.Question = append(m.Question, m.Question[0])
	}
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	packet = append(packet, make([]byte, tail)...)
	return exchange(t, s, network, packet), network
}

// digForm is the answer to a line in dig's form. What changes from run to run is
// masked: the server's part of a cookie. The ID is left out.
func digForm(t *testing.T, line string, reply []byte, network string) string {
	t.Helper()
	var r dns.Msg
	if err := r.Unpack(reply); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if o := r.IsEdns0(); o != nil {
		for _, e := range o.Option {
			if c, ok := e.(*dns.EDNS0_COOKIE); ok && len(c.Cookie) == 48 {
				c.Cookie = c.Cookie[:16] + "(server cookie of 16 octets)"
			}
		}
	}
	// miekg/dns calls 16 BADSIG, which is its meaning in TSIG.
	text := strings.NewReplacer(", id: 1\n", "\n", "status: BADSIG", "status: BADVERS").Replace(r.String())
	return fmt.Sprintf("%s;; SIZE: %d over %s\n", strings.TrimLeft(text, "\n"), len(reply), network)
}

// exchange sends octets and returns those that come back.
func exchange(t *testing.T, s *Server, network string, packet []byte) []byte {
	t.Helper()
	c, err := net.Dial(network, s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn := dns.Conn{Conn: c, UDPSize: 65535}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 65535)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}
