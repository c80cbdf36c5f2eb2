package resolver

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// resolvConf is where the system names its servers (resolv.conf(5)).
const resolvConf = "/etc/resolv.conf"

// The bounds of resolv.conf(5).
const (
	maxSystemServers  = 3
	maxSystemTimeout  = 30 * time.Second
	maxSystemAttempts = 5
)

// systemConf is the part of resolv.conf that matters here. The search list does not
// matter: names are absolute.
type systemConf struct {
	servers  []string
	timeout  time.Duration // 0: not said
	attempts int           // 0: not said
	rotate   bool          // begin with another server each time
	useVC    bool          // ask by TCP
}

// localHost is asked when resolv.conf names no server or is missing: a server on this
// machine, as resolv.conf(5) says.
var localHost = []string{"127.0.0.1", "::1"}

// system reads the name servers of this machine, again when the file changes: a client
// may live longer than its network.
type system struct {
	path string // "": resolvConf

	mu      sync.Mutex // guards what follows
	modTime time.Time
	size    int64
	conf    *systemConf // the file as it was then; nil: not read yet
}

func (s *system) read() (systemConf, error) {
	path := s.path
	if path == "" {
		path = resolvConf
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(path)
	if err == nil && s.conf != nil && info.ModTime().Equal(s.modTime) && info.Size() == s.size {
		return *s.conf, nil
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return parseSystemConf(""), nil
	case err != nil:
		return systemConf{}, fmt.Errorf("no name servers: %w; set Resolver.Servers or %s", err, envServers)
	}
	conf := parseSystemConf(string(text))
	s.conf, s.modTime, s.size = &conf, info.ModTime(), info.Size()
	return conf, nil
}

// parseSystemConf reads resolv.conf as glibc does. A line that cannot be understood is
// ignored. Of a nameserver line only the first word counts. RES_OPTIONS in the environment
// adds options.
func parseSystemConf(text string) systemConf {
	var conf systemConf
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] { // a comment begins with "#" or ";"
		case "nameserver":
			if _, err := netip.ParseAddr(words[1]); err == nil && len(conf.servers) < maxSystemServers {
				conf.servers = append(conf.servers, words[1])
			}
		case "options":
			conf.set(words[1:])
		}
	}
	conf.set(strings.Fields(os.Getenv("RES_OPTIONS")))
	if len(conf.servers) == 0 {
		conf.servers = slices.Clone(localHost)
	}
	return conf
}

func (c *systemConf) set(options []string) {
	for _, option := range options {
		name, value, _ := strings.Cut(option, ":")
		n, err := strconv.Atoi(value)
		switch {
		case option == "rotate":
			c.rotate = true
		case option == "use-vc":
			c.useVC = true
		case err != nil || n < 1:
		case name == "timeout":
			c.timeout = time.Duration(min(n, int(maxSystemTimeout/time.Second))) * time.Second
		case name == "attempts":
			c.attempts = min(n, maxSystemAttempts)
		}
	}
}
