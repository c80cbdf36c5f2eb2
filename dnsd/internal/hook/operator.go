package hook

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// drain takes an instance out of the answers; ?sticky=1 keeps it out when it comes
// back after it was gone.
func (x *exchange) drain() error {
	key, err := x.instanceKey(Admin)
	if err != nil {
		return err
	}
	q, err := x.query("sticky")
	if err != nil {
		return err
	}
	sticky := false
	if q.Has("sticky") {
		if sticky, err = strconv.ParseBool(q.Get("sticky")); err != nil {
			return refuse(http.StatusBadRequest, "sticky", "sticky %.40q: give 1 for a drain that survives the instance, or leave it out", q.Get("sticky"))
		}
	}
	in, err := x.st.registry.Drain(x.r.Context(), key, sticky)
	if err != nil {
		return err
	}
	return x.drained(in)
}

func (x *exchange) undrain() error {
	key, err := x.instanceKey(Admin)
	if err != nil {
		return err
	}
	if _, err := x.query(); err != nil {
		return err
	}
	in, err := x.st.registry.Undrain(x.r.Context(), key)
	if err != nil {
		return err
	}
	if in == nil { // it waited for an instance that is not there
		x.audit.result = "lifted"
		x.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return x.drained(in)
}

// drained answers how the instance is published now.
func (x *exchange) drained(in *registry.Instance) error {
	x.s.holds.wake(in.Key)
	lease, ok := x.st.registry.Instance(in.Key)
	if !ok {
		return registry.ErrNotFound
	}
	x.audit.revision = lease.Revision
	x.audit.result = lease.State.String()
	if lease.Sticky {
		x.audit.result += ", sticky"
	}
	x.revision(lease.Revision)
	return x.json(http.StatusOK, published(lease))
}

// clearFence forgets which incarnation was registered last under an id.
func (x *exchange) clearFence() error {
	key, err := x.instanceKey(Admin)
	if err != nil {
		return err
	}
	if _, err := x.query(); err != nil {
		return err
	}
	switch err := x.st.registry.Unfence(x.r.Context(), key); {
	case errors.Is(err, registry.ErrNotFound):
		return refuse(http.StatusNotFound, "", "no incarnation is remembered under this id: nobody is kept from registering")
	case err != nil:
		return err
	}
	x.audit.revision, x.audit.result = x.st.registry.Revision(), "cleared"
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (x *exchange) releaseGuard() error {
	service := x.r.PathValue("service")
	if service != "" {
		if err := registry.CheckService(service); err != nil {
			return err
		}
	}
	if err := x.need(Admin, service); err != nil {
		return err
	}
	if _, err := x.query(); err != nil {
		return err
	}
	x.audit.object = service
	if service == "" {
		x.audit.object = "all services"
	}
	x.st.registry.ReleaseGuard(service)
	x.audit.revision = x.st.registry.Revision()
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}
