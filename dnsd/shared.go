package dnsd

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd/internal/member"
)

const (
	// maxEndpoints and maxPeers: etcd gets slower with more servers, not safer.
	maxEndpoints, maxPeers = 16, 7
	// cacheOff is the word for no local copy.
	cacheOff = "off"
)

// isShared says whether several dnsd may have the store.
func (s Store) isShared() bool { return s.Kind == "etcd" || s.Kind == "cluster" }

// normal returns s as the store of z, a zone of c, with its defaults. The other fields of
// z are normal.
func (s Store) normal(z Zone, c Config) (Store, error) {
	s.Kind = cmp.Or(s.Kind, "memory")
	switch {
	case s.isShared() && c.Stores == nil:
		return s, faultf("store", "store %s needs the full dnsd: cd dnsd/cluster && go build ./cmd/dnsd", s.Kind)
	case s.isShared():
		if s.Shared == nil || s.Path != "" || s.Ceiling != "" {
			return s, faultf("store", "%s needs Shared, and neither Path nor Ceiling", s.Kind)
		}
		shared := *s.Shared
		s.Shared = &shared
		return s, shared.normalize(s.Kind, z, c.StateDir)
	case s.Shared != nil:
		return s, faultf("store", "Shared is for the kinds etcd and cluster, not for %s", s.Kind)
	case s.Ceiling != "":
	case s.Kind == "bolt":
		s.Ceiling = s.Path + ".ceiling"
	case c.StateDir != "":
		s.Ceiling = filepath.Join(c.StateDir, fileName(z.Origins[0])+".ceiling")
	}
	return s, nil
}

// normalize gives s its defaults, and refuses what is wrong whatever the files say.
func (s *SharedStore) normalize(kind string, z Zone, stateDir string) error {
	own := serverURL{} // of kind cluster: this dnsd's
	var err error
	if kind == "etcd" {
		err = s.normalEndpoints()
	} else {
		own, err = s.normalPeers(z)
	}
	if err != nil {
		return err
	}
	s.Prefix = cmp.Or(s.Prefix, "/rollcall/"+strings.TrimSuffix(z.Origins[0], "."))
	full, err := member.Check(member.Config{Zone: z.Origins[0], Prefix: s.Prefix, Name: s.Name, Session: s.Session})
	if err != nil {
		return blame(memberWords, err)
	}
	s.Session = full.Session
	switch {
	case s.Cache == cacheOff:
	case s.Cache != "":
	case kind == "cluster":
		s.Cache = filepath.Join(s.Dir, "copy.db")
	case stateDir != "":
		s.Cache = filepath.Join(stateDir, fileName(z.Origins[0])+".copy")
	default:
		s.Cache = cacheOff
	}
	return s.normalAddresses(z, own)
}

// normalEndpoints is for kind etcd.
func (s *SharedStore) normalEndpoints() error {
	switch {
	case s.Dir != "" || len(s.Peers) > 0:
		return faultf("store peer", "peers are for store cluster; the servers of etcd go after store etcd")
	case len(s.Endpoints) == 0 || len(s.Endpoints) > maxEndpoints:
		return faultf("store", "%d URLs of etcd; expected 1 to %d", len(s.Endpoints), maxEndpoints)
	case (s.User == "") != (s.PasswordFile == ""):
		return faultf("store user", "a user needs the file of a password, and a password its user")
	}
	urls, err := normalURLs(s.Endpoints, exampleEtcd, s.Insecure, func(i int, err error) error { return &fault{"store", fmt.Sprint(i), err} })
	if err != nil {
		return err
	}
	if !urls[0].secure && s.CA != "" {
		return faultf("store tls", "the URLs begin with http://, so nothing would use the files; write https://, or leave the line out")
	}
	s.Endpoints = nil
	for _, u := range urls {
		s.Endpoints = append(s.Endpoints, u.String())
	}
	if s.Name == "" {
		if s.Name, err = os.Hostname(); err != nil {
			return faultf("store", "this host has no name (%w); add the line: name NAME", err)
		}
	}
	if err := checkName(s.Name); err != nil {
		return &fault{path: "store name", err: err}
	}
	return nil
}

// normalPeers is for kind cluster. It returns the URL of this dnsd's own server.
func (s *SharedStore) normalPeers(z Zone) (own serverURL, err error) {
	switch {
	case len(s.Endpoints) > 0:
		return own, faultf("store", "URLs of etcd are for store etcd; a cluster has peers")
	case s.User != "" || s.PasswordFile != "":
		return own, faultf("store user", "a user is for store etcd; the servers of a cluster know each other by their certificates")
	case s.Dir == "":
		return own, faultf("store", "cluster needs a folder for its data")
	case len(s.Peers) == 0 || len(s.Peers) > maxPeers:
		return own, faultf("store", "%d peers; expected 1 to %d lines such as: peer a https://10.0.0.1:2380", len(s.Peers), maxPeers)
	}
	item := func(i int, err error) error { return &fault{"store peer", fmt.Sprint(i), err} }
	var names, texts []string
	for i, p := range s.Peers {
		if err := checkName(p.Name); err != nil {
			return own, item(i, err)
		}
		if slices.Contains(names, p.Name) {
			return own, item(i, fmt.Errorf("peer %s is listed twice", p.Name))
		}
		names, texts = append(names, p.Name), append(texts, p.URL)
	}
	urls, err := normalURLs(texts, examplePeer, s.Insecure, item)
	if err != nil {
		return own, err
	}
	switch {
	case urls[0].secure && s.TLS == (TLS{}):
		return own, faultf("store", "the peers' URLs begin with https://, so this dnsd needs a certificate; add the line: tls CERT KEY CA")
	case !urls[0].secure && s.CA != "":
		return own, faultf("store tls", "the peers' URLs begin with http://, so nothing would use the files; write https://, or leave the line out")
	}
	s.Peers = slices.Clone(s.Peers)
	for i, u := range urls {
		s.Peers[i].URL = u.String()
		if !u.addr().IsValid() && len(z.Apex.NS) == 0 {
			return own, item(i, fmt.Errorf("the address of %s is not known here, so it cannot be published as a name server; add lines such as: ns ns1.%s 10.0.0.1, the same in each dnsd", u.host, z.Origins[0]))
		}
	}
	if s.Name == "" {
		if s.Name, _ = os.Hostname(); !slices.Contains(names, s.Name) {
			return own, faultf("store", "the host name, %q, is none of the peers %s; add the line: name NAME", s.Name, strings.Join(names, ", "))
		}
	}
	i := slices.Index(names, s.Name)
	if i < 0 {
		return own, faultf("store name", "%q is none of the peers %s", s.Name, strings.Join(names, ", "))
	}
	return urls[i], nil
}

// normalAddresses fills Listen and Advertise. An address of this host that is known only
// when it is used stays empty.
func (s *SharedStore) normalAddresses(z Zone, own serverURL) error {
	if s.Listen == "" {
		host, port, _ := net.SplitHostPort(z.Hook.Addr)
		switch {
		case own.addr().IsValid():
			host = own.addr().String()
		case own.host != "":
			host = "::" // a name may have several addresses
		}
		n, err := strconv.Atoi(port)
		if err == nil && n != 0 {
			n++
		}
		if n > 65535 {
			return faultf("store", "there is no port after the hook's, %s; add the line: listen IP:PORT", port)
		}
		s.Listen = net.JoinHostPort(host, strconv.Itoa(n))
	}
	if err := checkAddr(s.Listen, "127.0.0.1:8054"); err != nil {
		return &fault{path: "store listen", err: err}
	}
	s.Listen = canonicalAddr(s.Listen)
	if s.Advertise == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(s.Advertise)
	if a, ipErr := netip.ParseAddr(host); err != nil || host == "" || ipErr == nil && a.IsUnspecified() {
		return faultf("store advertise", "bad address %q; expected what the other dnsd reach this one by, as in 10.0.0.1:8054", s.Advertise)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strings.ContainsFunc(host, func(r rune) bool { return r != ':' && notInZone(r) }) || n == 0 && !portIsZero(s.Listen) {
		return faultf("store advertise", "bad address %q; expected host:port such as 10.0.0.1:8054", s.Advertise)
	}
	return nil
}

// memberName is what the name of a member or a server may be. Messages and lists show it.
var memberName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$`)

func checkName(name string) error {
	if !memberName.MatchString(name) {
		return fmt.Errorf("bad name %q; expected 1 to 63 letters, digits, dots and hyphens, such as a", name)
	}
	return nil
}

// check says whether the files of s can be used.
func (s *SharedStore) check() error {
	if _, err := s.TLS.load(); err != nil {
		return &fault{path: "store tls", err: errors.Unwrap(err)}
	}
	if s.CA != "" {
		text, err := os.ReadFile(s.CA)
		if err != nil {
			return &fault{path: "store tls", err: err}
		}
		if !x509.NewCertPool().AppendCertsFromPEM(text) {
			return faultf("store tls", "there is no certificate in %s", s.CA)
		}
	}
	if s.PasswordFile != "" {
		text, err := os.ReadFile(s.PasswordFile)
		if err != nil {
			return &fault{path: "store user", err: err}
		}
		if first, _, _ := strings.Cut(string(text), "\n"); strings.TrimSpace(first) == "" {
			return faultf("store user", "the first line of %s is empty; expected the password", s.PasswordFile)
		}
	}
	if s.Dir != "" {
		if err := checkFolder(s.Dir); err != nil {
			return &fault{path: "store", err: err}
		}
	}
	if s.Cache != cacheOff {
		if info, err := os.Stat(s.Cache); err == nil && !info.Mode().IsRegular() {
			return faultf("store cache", "%s is not a file; expected one such as %s", s.Cache, filepath.Join(s.Cache, "svc.copy"))
		}
		if err := checkFolder(filepath.Dir(s.Cache)); err != nil {
			return &fault{path: "store cache", err: err}
		}
	}
	return nil
}

// A storeFile is a file or a folder that one store uses, and no other.
type storeFile struct {
	word string // the directive that has it
	kind string // file or folder
	path string
}

// files are those of s.
func (s Store) files() (all []storeFile) {
	if s.Path != "" {
		all = append(all, storeFile{"store", "file", s.Path})
	}
	if s.Shared != nil && s.Shared.Dir != "" {
		all = append(all, storeFile{"store", "folder", s.Shared.Dir})
	}
	if s.Shared != nil && s.Shared.Cache != cacheOff {
		all = append(all, storeFile{"store cache", "file", s.Shared.Cache})
	}
	return all
}

// sockets are the addresses that s listens on: the one for the other dnsd, and that of
// this dnsd's own server of etcd.
func (s *SharedStore) sockets(index int) []socket {
	all := []socket{{"store listen", s.Listen, index}}
	for _, p := range s.Peers {
		if u, err := parseServerURL(p.URL, examplePeer); err == nil && p.Name == s.Name {
			host := "::"
			if u.addr().IsValid() {
				host = u.addr().String()
			}
			all = append(all, socket{"store peer", net.JoinHostPort(host, u.port), index})
		}
	}
	return all
}

// peerAddrs are the addresses of the peers' hosts, the same in each dnsd.
func (s *SharedStore) peerAddrs() (addrs []netip.Addr) {
	for _, p := range s.Peers {
		if u, err := parseServerURL(p.URL, examplePeer); err == nil && u.addr().IsValid() {
			addrs = append(addrs, u.addr())
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// overlaps says whether s and o are in one etcd, with keys among those of the other, or
// have the same folder.
func (s *SharedStore) overlaps(o *SharedStore) bool {
	same := slices.ContainsFunc(s.Endpoints, func(e string) bool { return slices.Contains(o.Endpoints, e) })
	inside := strings.HasPrefix(s.Prefix+"/", o.Prefix+"/") || strings.HasPrefix(o.Prefix+"/", s.Prefix+"/")
	return same && inside || s.Dir != "" && s.Dir == o.Dir
}

// Tests: shared_test.go.
