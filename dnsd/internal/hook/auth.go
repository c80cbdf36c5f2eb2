package hook

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd/internal/limit"
	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
)

// Verb is what a token allows. Admin includes Write, and Write includes Read.
type Verb string

const (
	Read  Verb = "read"  // list, watch, metrics
	Write Verb = "write" // register, renew, hold, deregister
	Admin Verb = "admin" // drain, release the guard, change the members
)

func (v Verb) rank() int { return slices.Index([]Verb{Read, Write, Admin}, v) + 1 }

// Token is a bearer token (RFC 6750) and what it allows. The rights of several Tokens
// with one Secret add up.
type Token struct {
	// Name is the bearer's name in the audit log. Empty: its number, "token 1".
	Name string
	// Secret is what the bearer sends. It must not be empty. Only its hash is kept.
	Secret string
	// Verbs; none means read and write.
	Verbs []Verb
	// Services: "_math._tcp", "_math.*", "_math*._tcp", or "*" for all of them and
	// for what concerns all (the whole list, the metrics). None means "*".
	Services []string
	// AnyHost lets the bearer register hosts other than its own address.
	AnyHost bool
}

// grant is one Token, checked and hashed.
type grant struct {
	sum      [sha256.Size]byte
	name     string
	verb     Verb
	services []pattern
	anyHost  bool
}

func newGrants(tokens []Token) ([]grant, error) {
	grants := make([]grant, 0, len(tokens))
	for i, t := range tokens {
		g, err := newGrant(t)
		if err != nil {
			return nil, setting.Of("Tokens", i, err)
		}
		if g.name == "" {
			g.name = fmt.Sprintf("token %d", i+1)
		}
		grants = append(grants, g)
	}
	return grants, nil
}

// newGrant checks one token. No error shows a word that may be a secret in the wrong
// place.
func newGrant(t Token) (grant, error) {
	g := grant{sum: sha256.Sum256([]byte(t.Secret)), name: t.Name, anyHost: t.AnyHost}
	if t.Secret == "" {
		return g, errors.New("the secret is empty; is its environment variable set?")
	}
	if strings.ContainsFunc(t.Secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return g, errors.New("the secret has a blank or a character that an HTTP header cannot carry; is it one word?")
	}
	for _, v := range t.Verbs {
		if v.rank() == 0 {
			return g, errors.New("a verb is unknown; expected read, write or admin")
		}
		if v.rank() > g.verb.rank() {
			g.verb = v
		}
	}
	if len(t.Verbs) == 0 {
		g.verb = Write // which includes Read
	}
	for _, s := range t.Services {
		p, err := parsePattern(s)
		if err != nil {
			return g, err
		}
		g.services = append(g.services, p)
	}
	if len(t.Services) == 0 {
		g.services = []pattern{everything}
	}
	return g, nil
}

// pattern matches services label by label. A label may end with "*".
type pattern [2]string

var everything = pattern{"*", "*"}

func parsePattern(s string) (pattern, error) {
	if s == "*" {
		return everything, nil
	}
	p := strings.Split(strings.ToLower(s), ".")
	bad := len(p) != 2
	for _, label := range p {
		literal := strings.TrimSuffix(label, "*")
		bad = bad || label == "" || strings.Contains(literal, "*") || literal != "" && literal[0] != '_'
	}
	if bad && !strings.HasPrefix(s, "_") {
		// Nor this one: "token write SECRET" makes a pattern of a secret.
		return pattern{}, errors.New(`a service pattern does not begin with _; write it as _math._tcp, _math.*, _math*._tcp or *`)
	}
	if bad {
		return pattern{}, fmt.Errorf(`bad service pattern %q; write it as _math._tcp, _math.*, _math*._tcp or *`, s)
	}
	return pattern(p), nil
}

func (p pattern) match(service string) bool {
	if p == everything {
		return true
	}
	name, proto, ok := strings.Cut(service, ".")
	return ok && matchLabel(p[0], name) && matchLabel(p[1], proto)
}

func matchLabel(p, label string) bool {
	if head, star := strings.CutSuffix(p, "*"); star {
		return strings.HasPrefix(label, head)
	}
	return p == label
}

// identity is the sender of a request: its name in the audit log, its key in the
// rate limit, and what it may do.
type identity struct {
	name    string
	caller  caller
	open    bool // no tokens: every sender may do everything
	grants  []*grant
	cert    *x509.Certificate
	anyHost bool // without a grant: Insecure is set, or the peer is on loopback and nothing is required
}

// identify finds the sender of the request, or refuses it. Every token is compared, and
// to its end, so that the time does not show which one was similar.
func (st *state) identify(r *http.Request) (identity, error) {
	peer := peerAddr(r)
	id := identity{caller: caller{addr: limit.Client(peer)}, name: peer.String()}
	cert, err := st.access.check(r)
	if err != nil {
		return id, err
	}
	if cert != nil {
		id.cert = cert
		id.name = certName(cert) + " at " + id.name
	}
	if len(st.grants) == 0 {
		id.open = true
		id.anyHost = st.insecure || peer.IsLoopback() && !st.secured
		return id, nil
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		return id, refuse(http.StatusUnauthorized, "", "this hook requires a token: send Authorization: Bearer TOKEN").
			with("WWW-Authenticate", `Bearer realm="rollcall"`)
	}
	scheme, secret, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return id, refuse(http.StatusUnauthorized, "", "the Authorization header has no bearer token: send Authorization: Bearer TOKEN").
			with("WWW-Authenticate", `Bearer realm="rollcall"`)
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(secret)))
	for i := range st.grants {
		g := &st.grants[i]
		if subtle.ConstantTimeCompare(sum[:], g.sum[:]) == 1 {
			id.grants = append(id.grants, g)
			if id.caller.token == 0 {
				id.caller.token = i + 1
				id.name = g.name + " at " + id.name
			}
		}
	}
	if len(id.grants) == 0 {
		return id, refuse(http.StatusUnauthorized, "", "this token is unknown: it was replaced, or belongs to another dnsd; ask the operator for a present one").
			with("WWW-Authenticate", `Bearer realm="rollcall", error="invalid_token"`)
	}
	return id, nil
}

// may says whether the identity may do verb to the service; "" means all services.
func (id *identity) may(verb Verb, service string) bool {
	if id.open {
		return true
	}
	return slices.ContainsFunc(id.grants, func(g *grant) bool { return g.allows(verb, service) })
}

func (g *grant) allows(verb Verb, service string) bool {
	if g.verb.rank() < verb.rank() {
		return false
	}
	if service == "" {
		return slices.Contains(g.services, everything)
	}
	return slices.ContainsFunc(g.services, func(p pattern) bool { return p.match(service) })
}

// need refuses unless the identity may do verb to the service.
func (x *exchange) need(verb Verb, service string) error {
	if x.who.may(verb, service) {
		return nil
	}
	what := service
	if service == "" {
		what = "all services (*)"
	}
	return refuse(http.StatusForbidden, "", "this token does not allow %s for %s: use one that does, or have it added", verb, what).
		with("WWW-Authenticate", `Bearer realm="rollcall", error="insufficient_scope"`)
}

// needHost refuses a host that is not the peer's own address, unless the sender may
// register others: a wrong host would lead clients anywhere. A client certificate
// proves the names and addresses in it.
func (x *exchange) needHost(service, host string) error {
	own := x.peer
	if a, err := netip.ParseAddr(host); err == nil && a.Unmap() == own.WithZone("") {
		return nil
	}
	if x.who.anyHost {
		return nil
	}
	if x.who.cert != nil && x.who.cert.VerifyHostname(strings.TrimSuffix(host, ".")) == nil {
		return nil
	}
	if slices.ContainsFunc(x.who.grants, func(g *grant) bool { return g.anyHost && g.allows(Write, service) }) {
		return nil
	}
	return refuse(http.StatusForbidden, "host",
		"host %.80q is not your own address %v: leave host out, or use a token with any-host", host, own)
}

// speaksFor says whether the host is the peer's own, by address, by certificate or by
// name, so that the end of the peer's connection says something about the host. On
// loopback without tokens every host counts: the sender may register any.
func (x *exchange) speaksFor(ctx context.Context, host string) bool {
	if x.peer.IsLoopback() && !x.st.secured {
		return true
	}
	own := x.peer.WithZone("")
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap() == own
	}
	if x.who.cert != nil && x.who.cert.VerifyHostname(strings.TrimSuffix(host, ".")) == nil {
		return true
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	return err == nil && slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Unmap() == own })
}

// peerAddr is the address of the other end of the connection. Forwarding headers are
// not read: their sender can write anything into them.
func peerAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

func certName(c *x509.Certificate) string {
	switch {
	case len(c.URIs) > 0:
		return c.URIs[0].String()
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case c.Subject.CommonName != "":
		return c.Subject.CommonName
	}
	return "certificate " + c.SerialNumber.String()
}
