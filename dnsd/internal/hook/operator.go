package hook

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/timeline"
)

// drain removes an instance from the DNS answers. With ?sticky=1 it is drained again
// when it comes back after it was removed.
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
	done, err := x.st.writer.Drain(x.r.Context(), key, sticky)
	if err != nil {
		return err
	}
	return x.drained(done)
}

func (x *exchange) undrain() error {
	key, err := x.instanceKey(Admin)
	if err != nil {
		return err
	}
	if _, err := x.query(); err != nil {
		return err
	}
	done, err := x.st.writer.Undrain(x.r.Context(), key)
	if err != nil {
		return err
	}
	if done.Did == registry.Forgotten { // a sticky drain of an instance that is not registered
		x.did(done)
		x.audit.result = "lifted"
		x.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return x.drained(done)
}

// drained answers with the instance as it is published now.
func (x *exchange) drained(done registry.Receipt) error {
	in := done.Instance
	x.did(done)
	x.audit.result, x.audit.quiet = in.Shown().String(), false
	if in.Sticky {
		x.audit.result += ", sticky"
	}
	x.revision(done.Revision)
	return x.json(http.StatusOK, published(registry.Standing{Instance: in, ExpiresIn: done.ExpiresIn}, true))
}

// listFences lists what is remembered of ids that are not registered.
func (x *exchange) listFences() error {
	q, err := x.query("service")
	if err != nil {
		return err
	}
	service, err := x.serviceToRead(q)
	if err != nil {
		return err
	}
	p, err := x.piecesFrom(fenceBytes * x.st.registry.FencesOf(service))
	if err != nil {
		return err
	}
	defer p.finish()
	revision, fences := x.st.registry.Fences(service)
	x.revision(revision)
	x.w.Header().Set("Content-Type", "application/json")
	x.w.Header().Set("Cache-Control", "no-store")
	if x.r.Method == http.MethodHead {
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	fmt.Fprintf(p.out, `{"revision":%d,"fences":[`, revision)
	comma := ""
	for _, f := range fences {
		one, err := json.Marshal(shownFence(f))
		if err != nil {
			return err
		}
		_, _ = p.out.WriteString(comma) // a bufio.Writer keeps its first error
		if _, err := p.out.Write(one); err != nil {
			return err
		}
		comma = ","
	}
	_, _ = p.out.WriteString("]}\n")
	return p.end()
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
	done, err := x.st.writer.Unfence(x.r.Context(), key)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return refuse(http.StatusNotFound, "", "no incarnation is remembered under this id: every process may register it already")
	case err != nil:
		return err
	}
	x.did(done)
	x.note(timeline.FenceCleared, key.Service, key.ID+": every process may register it again")
	x.audit.result = "cleared"
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
	done, err := x.st.writer.ReleaseGuard(x.r.Context(), service)
	if err != nil {
		return err
	}
	x.did(done)
	x.note(timeline.GuardReleased, service, fmt.Sprintf("%d suspects are removed", done.Count))
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}
