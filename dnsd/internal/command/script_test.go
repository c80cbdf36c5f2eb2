//go:build unix

package command

import (
	"bufio"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
)

// script is what the commands of one script share.
type script struct {
	dir   string
	cmd   *exec.Cmd   // the dnsd that runs, or ran last
	lines chan string // of its log
	pipe  *os.File    // the reader's end of it
	open  []io.Closer
	told  *net.UnixConn // what systemd would hear
}

type scriptKey struct{}

func of(ts *testscript.TestScript) *script { return ts.Value(scriptKey{}).(*script) }

// scriptPatience is for a machine with a lot to do. A script waits for events only.
const scriptPatience = 30 * time.Second

func (s *script) end() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	}
	for _, c := range s.open {
		c.Close()
	}
}

var (
	dnsAddress  = regexp.MustCompile(`on ([^ ]+:\d+)`)
	tlsAddress  = regexp.MustCompile(`tls://([^ ]+:\d+)`)
	hookAddress = regexp.MustCompile(`hook (https?://[^ ,]+)`)
)

// serve ARG...: starts dnsd in the background and waits for the log line with its
// addresses, which are in $DNS, $TLS and $HOOK then.
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts)
	path, err := exec.LookPath(filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[0], "dnsd"))
	ts.Check(err)
	r, w, err := os.Pipe()
	ts.Check(err)
	s.cmd = exec.Command(path, args...)
	s.cmd.Dir, s.cmd.Stderr = s.dir, w
	s.cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"), "PATH="+ts.Getenv("PATH"))
	for _, name := range []string{"TOKEN", "PORT", "STATE_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC"} {
		s.cmd.Env = append(s.cmd.Env, name+"="+ts.Getenv(name))
	}
	ts.Check(s.cmd.Start())
	w.Close()
	lines := make(chan string, 10_000)
	s.pipe, s.lines = r, lines
	s.open = append(s.open, r)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(r); scan.Scan(); {
			lines <- scan.Text()
		}
	}()
	s.served(ts, s.await(ts, `serves`))
}

// served takes the addresses from a line of the log.
func (s *script) served(ts *testscript.TestScript, line string) {
	for name, re := range map[string]*regexp.Regexp{"DNS": dnsAddress, "TLS": tlsAddress, "HOOK": hookAddress} {
		if m := re.FindStringSubmatch(line); m != nil {
			ts.Setenv(name, strings.Trim(m[1], `"};`))
		}
	}
}

// log PATTERN: waits for a line of dnsd's log and prints it.
func cmdLog(ts *testscript.TestScript, neg bool, args []string) {
	line := of(ts).await(ts, args[0])
	of(ts).served(ts, line)
	fmt.Fprintln(ts.Stdout(), line)
}

func (s *script) await(ts *testscript.TestScript, pattern string) string {
	re, err := regexp.Compile(pattern)
	ts.Check(err)
	timeout := time.After(scriptPatience)
	var seen []string
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				ts.Fatalf("dnsd ended before it logged %q:\n%s", pattern, strings.Join(seen, "\n"))
			}
			if re.MatchString(line) {
				return line
			}
			seen = append(seen, line)
		case <-timeout:
			ts.Fatalf("dnsd logs no %q, but\n%s", pattern, strings.Join(seen, "\n"))
		}
	}
}

// signal HUP|USR1|TERM|INT|KILL: sends it to dnsd.
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
	ts.Check(of(ts).cmd.Process.Signal(signals[args[0]]))
}

// exit STATUS: waits until dnsd has ended. Status -1 is the end by a signal.
func cmdExit(ts *testscript.TestScript, neg bool, args []string) {
	cmd := of(ts).cmd
	cmd.Wait()
	if got := strconv.Itoa(cmd.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("dnsd ended with status %s", got)
	}
}

// deaf: closes the reading end of dnsd's log.
func cmdDeaf(ts *testscript.TestScript, neg bool, args []string) { ts.Check(of(ts).pipe.Close()) }

// listen NAME: another program has the port $NAME of loopback.
func cmdListen(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	of(ts).open = append(of(ts).open, l)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	ts.Setenv(args[0], port)
}

// free NAME: $NAME is a port of loopback that is free, and stays so.
func cmdFree(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv(args[0], strconv.Itoa(int(freeaddr.Take(1)[0].Port())))
}

// systemd WATCHDOG_USEC: dnsd is started as the service of a systemd that this script plays.
func cmdSystemd(ts *testscript.TestScript, neg bool, args []string) {
	dir, err := os.MkdirTemp("", "sd") // the path of a socket is short
	ts.Check(err)
	ts.Defer(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "notify")
	s := of(ts)
	s.told, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	ts.Check(err)
	s.open = append(s.open, s.told)
	ts.Setenv("NOTIFY_SOCKET", path)
	ts.Setenv("WATCHDOG_USEC", args[0])
}

// notified PATTERN: waits until dnsd has told systemd so, and prints what it told.
func cmdNotified(ts *testscript.TestScript, neg bool, args []string) {
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	conn := of(ts).told
	ts.Check(conn.SetReadDeadline(time.Now().Add(scriptPatience)))
	for buf := make([]byte, 4096); ; {
		n, err := conn.Read(buf)
		ts.Check(err)
		if re.Match(buf[:n]) {
			fmt.Fprintf(ts.Stdout(), "%s\n", buf[:n])
			return
		}
	}
}

// cert CERT KEY: makes a certificate for 127.0.0.1 that is its own CA.
func cmdCert(ts *testscript.TestScript, neg bool, args []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	ts.Check(err)
	t := &x509.Certificate{
		SerialNumber: serial, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{{127, 0, 0, 1}},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	ts.Check(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
}

// flags takes leading words such as "-token x" out of args.
func flags(args []string) (map[string]string, []string) {
	o := map[string]string{}
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		o[args[0]], args = args[1], args[2:]
	}
	return o, args
}

// tlsConfig is that of a client that trusts "-ca FILE" and shows "-cert FILE -key FILE".
func tlsConfig(ts *testscript.TestScript, o map[string]string) *tls.Config {
	c := &tls.Config{RootCAs: x509.NewCertPool()}
	if o["-ca"] != "" {
		c.RootCAs.AppendCertsFromPEM([]byte(ts.ReadFile(o["-ca"])))
	}
	if o["-cert"] != "" {
		pair, err := tls.LoadX509KeyPair(ts.MkAbs(o["-cert"]), ts.MkAbs(o["-key"]))
		ts.Check(err)
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}

// http [-token T] [-ca FILE] [-cert FILE -key FILE] METHOD URL [BODY]: one request.
// Standard output is the status and the body. "! http" is for no answer.
// -until STATUS repeats the request until it has that status.
func cmdHTTP(ts *testscript.TestScript, neg bool, args []string) {
	o, args := flags(args)
	body := ""
	if len(args) > 2 {
		body = args[2]
	}
	client := &http.Client{Timeout: scriptPatience, Transport: &http.Transport{TLSClientConfig: tlsConfig(ts, o), DisableKeepAlives: true}}
	for end := time.Now().Add(scriptPatience); ; {
		req, err := http.NewRequest(args[0], args[1], strings.NewReader(body))
		ts.Check(err)
		if o["-token"] != "" {
			req.Header.Set("Authorization", "Bearer "+o["-token"])
		}
		resp, err := client.Do(req)
		if err != nil {
			if !neg {
				ts.Fatalf("%v", err)
			}
			fmt.Fprintln(ts.Stderr(), err)
			return
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		ts.Check(err)
		if want := o["-until"]; want != "" && strconv.Itoa(resp.StatusCode) != want && time.Now().Before(end) {
			continue
		}
		if neg {
			ts.Fatalf("answer %s", resp.Status)
		}
		fmt.Fprintf(ts.Stdout(), "%d\n%s\n", resp.StatusCode, text)
		return
	}
}

// dns [-net udp|tcp|tcp-tls] [-ca FILE] [-tsig NAME:SECRET] ADDR NAME TYPE: one query,
// or a transfer (type AXFR). Standard output is the rcode and the records.
func cmdDNS(ts *testscript.TestScript, neg bool, args []string) {
	o, args := flags(args)
	addr, qtype := args[0], dns.StringToType[args[2]]
	m := new(dns.Msg).SetQuestion(args[1], qtype)
	name, secret, signed := strings.Cut(o["-tsig"], ":")
	keys := map[string]string{name: secret}
	if signed {
		m.SetTsig(name, dns.HmacSHA256, 300, time.Now().Unix())
	} else {
		keys = nil
	}
	if qtype == dns.TypeAXFR {
		envelopes, err := (&dns.Transfer{TsigSecret: keys}).In(m, addr)
		ts.Check(err)
		for e := range envelopes {
			if e.Error != nil {
				fmt.Fprintln(ts.Stdout(), e.Error)
			}
			for _, rr := range e.RR {
				fmt.Fprintln(ts.Stdout(), rr)
			}
		}
		return
	}
	c := dns.Client{Net: cmp.Or(o["-net"], "udp"), Timeout: scriptPatience, TsigSecret: keys, TLSConfig: tlsConfig(ts, o)}
	r, _, err := c.Exchange(m, addr)
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), dns.RcodeToString[r.Rcode])
	for _, rr := range r.Answer {
		fmt.Fprintln(ts.Stdout(), rr)
	}
}
