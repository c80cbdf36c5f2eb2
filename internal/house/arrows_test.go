package house

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/rollcall-dns/rollcall"

// arrows are the imports that must not be drawn, with the reason.
var arrows = []struct {
	rooms     []string // packages, below the module
	forbidden []string // import path prefixes
	allowed   []string // the only paths outside std and the room; nil: no such rule
	reason    string
}{
	{
		rooms:     []string{"resolver", "balancer", "rpcclient", "rpcserver", "register", "debugrollcall"},
		forbidden: []string{"go.uber.org/zap", "github.com/coredns", "go.etcd.io", "github.com/prometheus", "go.opentelemetry.io", module + "/dnsd", module + "/testenv"},
		reason:    "the client side goes into other people's programs and stays light",
	},
	{
		rooms:   []string{"register"},
		allowed: []string{module + "/internal/srvname"},
		reason:  "register needs nothing but the standard library",
	},
	{
		rooms:     []string{"cmd/rollcall"},
		forbidden: []string{"go.uber.org/zap", "github.com/coredns", "go.etcd.io", module + "/dnsd", module + "/testenv", module + "/internal/kv"},
		reason:    "the command sees dnsd from outside: HTTP and DNS",
	},
	{
		rooms:   []string{"cmd/rollcall/internal/cli", "cmd/rollcall/internal/show", "cmd/rollcall/internal/gobtype", "cmd/rollcall/internal/metrics", "cmd/rollcall/internal/snapshot"},
		allowed: []string{module + "/internal/nearest"},
		reason:  "a command line, a table, a type and a number know nothing of what the command is for",
	},
	{
		rooms:   []string{"rpcserver"},
		allowed: []string{module + "/register", module + "/internal/callmeta", module + "/internal/gobvalue", module + "/internal/rpcwire", module + "/internal/srvname"},
		reason:  "a server imports only what registers it, and the wire",
	},
	{
		rooms:   []string{"rpcserver/shed"},
		allowed: []string{module + "/rpcserver", module + "/register", module + "/internal/callmeta", module + "/internal/gobvalue", module + "/internal/rpcwire", module + "/internal/srvname"},
		reason:  "middleware uses what every user of a server can use",
	},
	{
		rooms:     []string{"promrollcall"},
		forbidden: []string{"go.uber.org/zap", "github.com/coredns", "go.etcd.io", module + "/dnsd", module + "/testenv", module + "/debugrollcall"},
		reason:    "it goes into other people's programs, and shows what clients and servers know",
	},
	{
		rooms:   []string{"internal/gobvalue"},
		allowed: []string{},
		reason:  "values of gob need nothing but the standard library",
	},
	{
		rooms:   []string{"internal/callmeta"},
		allowed: []string{module + "/internal/gobvalue"},
		reason:  "both ends of a call share it: it needs nothing but the standard library",
	},
	{
		rooms:   []string{"internal/rpcwire"},
		allowed: []string{module + "/internal/callmeta", module + "/internal/gobvalue"},
		reason:  "the wire is net/rpc's: it needs nothing but the standard library",
	},
	{
		rooms:   []string{"internal/srvname"},
		allowed: []string{},
		reason:  "register and the registry check names by it: it needs nothing but the standard library",
	},
	{
		rooms:   []string{"internal/nearest"},
		allowed: []string{},
		reason:  "the commands, the Corefile and the hook find words by it: it needs nothing but the standard library",
	},
	{
		rooms:     []string{"internal/dso"},
		forbidden: []string{"net/http", "go.uber.org/zap", module + "/dnsd", module + "/resolver", module + "/register"},
		reason:    "the server and the client of a session share the octets, and nothing else",
	},
	{
		rooms:   []string{"internal/kv"},
		allowed: []string{},
		reason:  "a store of any kind can be behind it, so it knows none",
	},
	{
		rooms:   []string{"internal/kv/memkv"},
		allowed: []string{module + "/internal/kv"},
		reason:  "testenv has it, so it goes into other people's tests",
	},
	{
		rooms:   []string{"internal/kv/kvtest"},
		allowed: []string{module + "/internal/kv", "pgregory.net/rapid"},
		reason:  "it tests stores of any kind, so it knows none",
	},
	{
		rooms:   []string{"internal/peertest", "internal/page", "internal/freeaddr"},
		allowed: []string{},
		reason:  "tests of every room import it, so it can import none",
	},
	{
		rooms:     []string{"testenv"},
		forbidden: []string{module + "/testenv/history", "github.com/anishathalye"},
		reason:    "what checks histories is for tests that ask for it",
	},
	{
		rooms:     []string{"testenv/history"},
		forbidden: []string{module + "/dnsd", module + "/internal/kv", "go.etcd.io", "go.uber.org/zap"},
		reason:    "it sees dnsd from outside: HTTP and DNS",
	},
	{
		rooms:     []string{"rpcclient", "balancer", "resolver"},
		forbidden: []string{module + "/register", module + "/rpcserver"},
		reason:    "a client knows DNS and net/rpc, not how a server registers",
	},
	{
		rooms:   []string{"rpcclient/internal/conn"},
		allowed: []string{module + "/internal/callmeta", module + "/internal/gobvalue", module + "/internal/rpcwire", "golang.org/x/sys/unix"},
		reason:  "a connection knows bytes and deadlines, not calls, nodes or names",
	},
	{
		rooms:     []string{"resolver"},
		forbidden: []string{module + "/balancer", module + "/rpcclient"},
		reason:    "arrows run from calls to names, not back",
	},
	{
		rooms:     []string{"balancer"},
		forbidden: []string{module + "/rpcclient"},
		reason:    "the balancer serves any kind of connection",
	},
	{
		rooms:     []string{"dnsd", "dnsd/cmd/dnsd", "testenv"},
		forbidden: []string{"go.etcd.io/etcd", "google.golang.org/grpc", module + "/dnsd/cluster"},
		reason:    "etcd is in the module dnsd/cluster: the light dnsd and testenv stay light",
	},
	{
		rooms:     []string{"dnsd/internal/registry"},
		forbidden: []string{"github.com/miekg/dns", "net/http", module + "/dnsd/internal/zone", module + "/dnsd/internal/hook", module + "/dnsd/internal/nameserver"},
		reason:    "the registry knows who is registered, not how it is published",
	},
	{
		rooms:     []string{"dnsd/internal/member"},
		forbidden: []string{"github.com/miekg/dns", "net/http", "go.etcd.io", "go.uber.org/zap", module + "/dnsd/internal/zone", module + "/dnsd/internal/hook", module + "/dnsd/internal/nameserver", module + "/dnsd/internal/peer"},
		reason:    "a member knows the registry and a store of any kind, not who asks it",
	},
	{
		rooms:     []string{"dnsd/internal/zone"},
		forbidden: []string{"net/http", "go.etcd.io", module + "/dnsd/internal/nameserver", module + "/dnsd/internal/hook"},
		reason:    "the zone is pure: changes in, answers out",
	},
	{
		rooms:     []string{"dnsd/internal/nameserver"},
		forbidden: []string{"net/http", "go.etcd.io", module + "/dnsd/internal/hook"},
		reason:    "the name server knows zones, not the hook or the store",
	},
	{
		rooms:     []string{"dnsd/internal/push"},
		forbidden: []string{"net/http", "go.etcd.io", "go.uber.org/zap", module + "/dnsd/internal/hook", module + "/dnsd/internal/nameserver", module + "/resolver"},
		reason:    "sessions know zones and connections, not how these were opened",
	},
	{
		rooms:     []string{"internal/pushjudge"},
		forbidden: []string{module + "/dnsd", module + "/internal/dso", module + "/resolver", "net/http"},
		reason:    "it judges both ends of a session, so it shares no code with them",
	},
	{
		rooms:   []string{"dnsd/internal/peer"},
		allowed: []string{module + "/dnsd/internal/registry", module + "/dnsd/internal/plainjson", module + "/dnsd/internal/limit", module + "/dnsd/internal/setting", module + "/internal/srvname", "golang.org/x/sys/unix", "golang.org/x/time/rate"},
		reason:  "the connection between members knows writes, not the store, the hook or DNS",
	},
	{
		rooms:   []string{"dnsd/internal/plainjson"},
		allowed: []string{},
		reason:  "it knows texts and numbers, not what they say",
	},
	{
		rooms:   []string{"dnsd/internal/limit"},
		allowed: []string{},
		reason:  "the listeners of DNS and of the hook share it, so it knows neither",
	},
	{
		rooms:   []string{"dnsd/internal/console"},
		allowed: []string{},
		reason:  "the console is files for a browser: it reads the HTTP API as any client does",
	},
	{
		rooms:     []string{"dnsd/internal/timeline"},
		forbidden: []string{"net/http", "github.com/miekg/dns", module + "/dnsd/internal/zone", module + "/dnsd/internal/hook", module + "/dnsd/internal/nameserver"},
		reason:    "what happened is told from the registry, whoever asks for it",
	},
	{
		rooms:     []string{"dnsd/internal/hook"},
		forbidden: []string{module + "/dnsd/internal/nameserver", module + "/dnsd/internal/zone", "go.etcd.io", "go.uber.org/zap"},
		reason:    "the hook writes to the registry; what DNS says follows by itself",
	},
}

func TestImportsFollowTheArrows(t *testing.T) {
	for _, a := range arrows {
		for _, room := range a.rooms {
			for _, dep := range depsOf(t, module+"/"+room) {
				for _, f := range a.forbidden {
					if dep == f || strings.HasPrefix(dep, f+"/") {
						t.Errorf("%s reaches %s: %s", room, dep, a.reason)
					}
				}
				std := !strings.Contains(strings.SplitN(dep, "/", 2)[0], ".")
				if a.allowed != nil && !std && dep != module+"/"+room && !slices.Contains(a.allowed, dep) {
					t.Errorf("%s reaches %s: %s", room, dep, a.reason)
				}
			}
		}
	}
}

// TestOnlyTestsRunOtherPrograms: what only tests need must not get into a program
// or into other people's tests by way of testenv.
func TestOnlyTestsRunOtherPrograms(t *testing.T) {
	rooms := []string{module + "/internal/peertest", module + "/internal/page", module + "/internal/kv/kvtest", module + "/internal/pushjudge"}
	for pkg, imports := range importsOf(t) {
		for _, room := range rooms {
			if slices.Contains(imports, room) && !strings.HasPrefix(pkg, module+"/bench/") {
				t.Errorf("%s imports %s: only tests and bench may", pkg, strings.TrimPrefix(room, module+"/"))
			}
		}
	}
}

// TestOnlyUsersImportPrometheusCollectors: a program that does not ask for Prometheus does
// not get it from Rollcall.
func TestOnlyUsersImportPrometheusCollectors(t *testing.T) {
	for pkg, imports := range importsOf(t) {
		if slices.Contains(imports, module+"/promrollcall") && !strings.HasPrefix(pkg, module+"/testenv") {
			t.Errorf("%s imports promrollcall: only programs of users do, and testenv", pkg)
		}
	}
}

// importsOf lists what each package of the module imports, tests left out.
func importsOf(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"/...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		all[f[0]] = f[1:]
	}
	return all
}

// depsOf lists everything pkg is built from, tests left out.
func depsOf(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", pkg).CombinedOutput()
	if err != nil {
		t.Fatalf("go list -deps %s: %v\n%s", pkg, err, out)
	}
	return strings.Fields(string(out))
}
