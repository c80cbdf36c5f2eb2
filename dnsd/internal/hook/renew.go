package hook

import (
	"fmt"
	"net/http"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/register"
)

// renew renews many leases in one request. Those it does not know come back: to
// PUT them again is the cure, whether they expired or dnsd lost its store.
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
		key, err := registry.ParseKey(s)
		if err != nil {
			p := problemOf(err)
			p.Field = fmt.Sprintf("instances[%d]", i)
			return p
		}
		if key.Service != allowed {
			if err := x.need(Write, key.Service); err != nil {
				return err
			}
			allowed = key.Service
		}
		all[i] = registry.Renewal{Key: key}
	}
	unknown, _, err := x.st.registry.RenewAll(x.r.Context(), all)
	if err != nil {
		return err
	}
	answer := register.RenewAnswer{
		Revision: x.st.registry.Revision(),
		Renewed:  len(all) - len(unknown),
		Unknown:  make([]string, len(unknown)),
	}
	for i, key := range unknown {
		answer.Unknown[i] = key.String()
	}
	x.audit.revision = answer.Revision
	x.audit.result = fmt.Sprintf("renewed %d, unknown %d", answer.Renewed, len(unknown))
	x.audit.quiet = true
	x.revision(answer.Revision)
	return x.json(http.StatusOK, answer)
}
