package hook

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/register"
)

// renew renews many leases in one request. The answer lists the unknown instances, which
// must be PUT again, and those whose incarnation was replaced by a newer one.
func (x *exchange) renew() error {
	if _, err := x.query(); err != nil {
		return err
	}
	body, err := x.readBody()
	if err != nil {
		return err
	}
	req, err := decodeRenewal(body)
	if err != nil {
		return err
	}
	x.audit.object = fmt.Sprintf("%d instances", len(req.Instances))
	all := make([]registry.Renewal, len(req.Instances))
	allowed := "" // the service that was just found allowed
	for i, s := range req.Instances {
		one, err := parseRenewal(s)
		if err != nil {
			p := problemOf(err)
			p.Field = fmt.Sprintf("instances[%d]", i)
			return p
		}
		if one.Service != allowed {
			if err := x.need(Write, one.Service); err != nil {
				return err
			}
			allowed = one.Service
		}
		all[i] = one
	}
	done, err := x.st.writer.RenewAll(x.r.Context(), all)
	if err != nil {
		return err
	}
	answer := register.RenewAnswer{
		Revision: done.Revision,
		Renewed:  done.Count,
		Unknown:  texts(done.Unknown),
		Replaced: texts(done.Replaced),
	}
	x.audit.revision = answer.Revision
	x.audit.result = fmt.Sprintf("renewed %d, unknown %d", answer.Renewed, len(done.Unknown))
	if n := len(done.Replaced); n > 0 {
		x.audit.result += fmt.Sprintf(", replaced %d", n)
	}
	x.audit.quiet = true
	x.revision(answer.Revision)
	return x.json(http.StatusOK, answer)
}

// parseRenewal reads "_math._tcp/a1" or "_math._tcp/a1?incarnation=7".
func parseRenewal(s string) (registry.Renewal, error) {
	name, query, given := strings.Cut(s, "?")
	key, err := registry.ParseKey(name)
	if err != nil || !given {
		return registry.Renewal{Key: key}, err
	}
	number, ok := strings.CutPrefix(query, "incarnation=")
	n, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil {
		return registry.Renewal{}, refuse(http.StatusBadRequest, "", "%.80q: write it as %s?incarnation=7, or without an incarnation", s, key)
	}
	return registry.Renewal{Key: key, Incarnation: n}, nil
}

func texts(keys []registry.Key) []string {
	list := make([]string, len(keys))
	for i, k := range keys {
		list[i] = k.String()
	}
	return list
}
