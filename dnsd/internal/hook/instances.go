package hook

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/register"
)

// The defaults of the RFC 2782 fields. The weight is far from 0 because HAProxy takes a
// weight of 0 for "drained".
const (
	defaultPriority = 10
	defaultWeight   = 100
)

// putInstance registers, renews, changes or recovers an instance, by one request.
func (x *exchange) putInstance() error {
	key, err := x.instanceKey(Write)
	if err != nil {
		return err
	}
	if _, err := x.query(); err != nil {
		return err
	}
	body, err := x.readBody()
	if err != nil {
		return err
	}
	reg, err := decodeRegistration(body)
	if err != nil {
		return err
	}
	done, err := x.register(key, reg)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if done.Did == registry.Created {
		status = http.StatusCreated
		x.w.Header().Set("Location", "/v1/services/"+key.Service+"/instances/"+key.ID)
	}
	x.revision(done.Revision)
	return x.json(status, registered(done.Instance))
}

// register writes what the client sent to the registry.
func (x *exchange) register(key registry.Key, reg register.Registration) (registry.Receipt, error) {
	host, err := x.hostOf(key.Service, reg.Host)
	if err != nil {
		return registry.Receipt{}, err
	}
	x.audit.host = host + ":" + strconv.Itoa(int(reg.Port))
	in := registry.Instance{
		Key:         key,
		Host:        host,
		Port:        reg.Port,
		Priority:    defaultPriority,
		Weight:      defaultWeight,
		TTL:         reg.TTL.Std(),
		Lease:       reg.Lease.Std(),
		Meta:        reg.Meta,
		Incarnation: reg.Incarnation,
		Drain:       reg.Drain,
	}
	if reg.Priority != nil {
		in.Priority = *reg.Priority
	}
	if reg.Weight != nil {
		in.Weight = *reg.Weight
	}
	if x.st.check != nil {
		if before, ok := x.st.registry.Instance(key); !ok || before.Host != host {
			if err := x.st.check(key, host); err != nil {
				return registry.Receipt{}, err
			}
		}
	}
	done, err := x.st.writer.Register(x.r.Context(), in)
	switch {
	case in.Drain && errors.Is(err, registry.ErrOldWriter): // to try again would let the lease end
		return registry.Receipt{}, refuse(http.StatusBadRequest, "drain", "the dnsd that is the writer now is older, and does not know drain: update it, or leave drain out").because(err)
	case err != nil:
		return registry.Receipt{}, err
	}
	x.did(done)
	return done, nil
}

// proxyHeaders are the headers that proxies add, as net/http spells them (RFC 9110
// section 7.6.3, RFC 7239; the others by custom).
var proxyHeaders = []string{
	"Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server",
	"X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Envoy-External-Address",
}

// hostOf is the host of the instance: the given one, if the sender may register it, or
// the sender's address.
func (x *exchange) hostOf(service, host string) (string, error) {
	if host != "" {
		canonical, err := registry.CheckHost(host)
		if err != nil {
			return "", err
		}
		return canonical, x.needHost(service, canonical)
	}
	// At the address of a proxy the instance does not listen.
	for _, name := range proxyHeaders {
		if x.r.Header[name] != nil {
			return "", refuse(http.StatusBadRequest, "host", "this request came through a proxy (it has %s), so %v is not your address: give host, with a token that has any-host, or go around the proxy", name, x.peer)
		}
	}
	if !x.peer.IsValid() || x.peer.Zone() != "" {
		return "", refuse(http.StatusBadRequest, "host", "your own address, %v, cannot be published: give host", x.peer)
	}
	return x.peer.String(), nil
}

func (x *exchange) deleteInstance() error {
	key, err := x.instanceKey(Write)
	if err != nil {
		return err
	}
	incarnation, err := x.incarnation()
	if err != nil {
		return err
	}
	done, err := x.st.writer.Deregister(x.r.Context(), key, incarnation)
	if done.Did == registry.Removed { // also with an error: the removal could not be stored
		x.did(done)
		x.audit.result = "deregistered"
	}
	if err != nil {
		return err
	}
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (x *exchange) showInstance() error {
	key, err := x.instanceKey(Read)
	if err != nil {
		return err
	}
	if _, err := x.query(); err != nil {
		return err
	}
	if err := x.loaded(); err != nil {
		return err
	}
	lease, ok := x.st.registry.Instance(key)
	if !ok {
		return registry.ErrNotFound
	}
	x.revision(lease.Revision)
	return x.json(http.StatusOK, published(lease, x.st.registry.Leads()))
}

func (x *exchange) showService() error {
	service := x.r.PathValue("service")
	if err := registry.CheckService(service); err != nil {
		return err
	}
	if err := x.mayRead(service); err != nil {
		return err
	}
	if _, err := x.query(); err != nil {
		return err
	}
	none := refuse(http.StatusNotFound, "service",
		"no instance of %s is registered, or the leases of all have ended: PUT one and renew it before its lease ends, or look at /v1/services for what there is", service)
	revision, ok := x.st.registry.ServiceRevision(service)
	if !ok {
		return none
	}
	if x.unchanged(revision) {
		return nil
	}
	p, err := x.pieces(service)
	if err != nil {
		return err
	}
	defer p.finish()
	view, ok := x.st.registry.Service(service)
	if !ok {
		return none
	}
	if x.unchanged(view.Revision) {
		return nil
	}
	x.w.Header().Set("Content-Type", "application/json")
	if x.r.Method == http.MethodHead {
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	if err := p.service(x.st.registry.Life().String(), view); err != nil {
		return err
	}
	_ = p.out.WriteByte('\n')
	return p.end()
}

// listServices writes one service after another, so that a list of a million instances
// needs the memory of one service. The revision is that of the beginning.
func (x *exchange) listServices() error {
	if err := x.mayRead(""); err != nil {
		return err
	}
	if _, err := x.query(); err != nil {
		return err
	}
	if x.unchanged(x.st.registry.Revision()) {
		return nil
	}
	p, err := x.pieces("")
	if err != nil {
		return err
	}
	defer p.finish()
	revision, views := x.st.registry.Services()
	if x.unchanged(revision) {
		return nil
	}
	x.w.Header().Set("Content-Type", "application/json")
	if x.r.Method == http.MethodHead {
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	fmt.Fprintf(p.out, `{"life":"%v","revision":%d,"services":[`, x.st.registry.Life(), revision)
	comma := ""
	for v := range views {
		_, _ = p.out.WriteString(comma)
		if err := p.service("", v); err != nil {
			return err
		}
		comma = ","
	}
	_, _ = p.out.WriteString("]}\n")
	return p.end()
}

// mayRead says whether the sender may read the service ("": all), and whether there is
// anything to read.
func (x *exchange) mayRead(service string) error {
	if err := x.need(Read, service); err != nil {
		return err
	}
	return x.loaded()
}

// loaded refuses to read a registry that has no content yet: nothing in it would look as
// if there were no instances.
func (x *exchange) loaded() error {
	if x.st.registry.Loaded() {
		return nil
	}
	return refuse(http.StatusServiceUnavailable, "", "this dnsd does not know yet what is registered, because it has not reached the store that the dnsd share: ask another one, or try again").retryAfter(time.Second)
}

// unchanged answers 304 to a client that has this revision of this life of the registry
// (RFC 9110 section 13.1.2). The tag is weak: deadlines move, and an unconfirmed
// instance becomes up, without a revision.
func (x *exchange) unchanged(revision uint64) bool {
	tag := `W/"` + x.st.registry.At(revision).String() + `"`
	x.revision(revision)
	h := x.w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "no-cache")
	for _, line := range x.r.Header.Values("If-None-Match") {
		for t := range strings.SplitSeq(line, ",") {
			t = strings.TrimSpace(t)
			if t == tag || t == tag[2:] || t == "*" {
				x.w.WriteHeader(http.StatusNotModified)
				return true
			}
		}
	}
	return false
}

// revision sets the headers with the revision of the answer and the life it belongs to.
func (x *exchange) revision(rev uint64) {
	x.w.Header().Set("Rollcall-Revision", strconv.FormatUint(rev, 10))
	x.w.Header().Set("Rollcall-Life", x.st.registry.Life().String())
}

// instanceKey is the instance in the path, if the sender may do verb to it.
func (x *exchange) instanceKey(verb Verb) (registry.Key, error) {
	key, err := registry.NewKey(x.r.PathValue("service"), x.r.PathValue("id"))
	if err != nil {
		return key, err
	}
	return key, x.need(verb, key.Service)
}

// incarnation reads ?incarnation=; nil: it is not given.
func (x *exchange) incarnation() (*uint64, error) {
	q, err := x.query("incarnation")
	if err != nil {
		return nil, err
	}
	return incarnationOf(q)
}

func incarnationOf(q url.Values) (*uint64, error) {
	if !q.Has("incarnation") {
		return nil, nil
	}
	n, err := strconv.ParseUint(q.Get("incarnation"), 10, 64)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "incarnation", "incarnation %.40q: give a whole number", q.Get("incarnation"))
	}
	return &n, nil
}

// query reads the query strictly: a misspelt parameter is an error.
func (x *exchange) query(known ...string) (url.Values, error) {
	if x.r.URL.RawQuery == "" {
		return nil, nil
	}
	q, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "", "the query cannot be read: %v", err)
	}
	for name, values := range q {
		if !slices.Contains(known, name) {
			allowed := "none"
			if len(known) > 0 {
				allowed = strings.Join(known, ", ")
			}
			return nil, refuse(http.StatusBadRequest, name, "unknown query parameter %.64q: %sthis request knows %s", name, meant(name, known), allowed)
		}
		if len(values) > 1 {
			return nil, refuse(http.StatusBadRequest, name, "query parameter %s is given %d times: give it once", name, len(values))
		}
	}
	return q, nil
}

// registered is the answer to a PUT: a lease that begins now.
func registered(in *registry.Instance) register.Published {
	p := published(registry.Standing{Instance: in, ExpiresIn: in.Lease}, true)
	p.RenewAfter = register.Duration(renewAfter(in))
	return p
}

// renewAfter is the time to the next renewal: two renewals may be lost before the lease
// ends.
func renewAfter(in *registry.Instance) time.Duration {
	return (in.Lease / 3).Truncate(time.Millisecond)
}

// published is an instance as JSON has it. leads says whether the time left of the lease is
// known: a follower does not know it.
func published(l registry.Standing, leads bool) register.Published {
	p := register.Published{
		ID:          l.ID,
		Host:        l.Host,
		Port:        l.Port,
		Priority:    l.Priority,
		Weight:      l.Weight,
		TTL:         register.Duration(l.TTL),
		Lease:       register.Duration(l.Lease),
		Meta:        l.Meta,
		Incarnation: l.Incarnation,
		State:       register.InstanceState(l.Shown().String()),
		DrainedBy:   drainedBy(l.Instance),
		Sticky:      l.Sticky,
		Revision:    l.Revision,
	}
	if leads {
		left := register.Duration(max(0, l.ExpiresIn).Truncate(time.Millisecond))
		p.ExpiresIn = &left
	}
	return p
}

func drainedBy(in *registry.Instance) (by []string) {
	if in.State == registry.Drained {
		by = append(by, register.DrainedByOperator)
	}
	if in.Drain {
		by = append(by, register.DrainedByInstance)
	}
	return by
}
