//go:build linux

package machines

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/rollcall-dns/rollcall/register"
)

// TestEtcdIsCompacted: all of its history, while a follower is frozen. Etcd is started
// again meanwhile, so that nothing for the follower is under way.
func TestEtcdIsCompacted(t *testing.T) {
	need(t)
	t.Parallel()
	e := newEtcd(t)
	s := newShared(t, e, 3)
	c := s.gather()
	w := s.settled()
	f := s.others(w)[0]
	c.excuse(f)
	f.process.freeze()
	e.process.stop()
	e.start()
	for range 20 {
		s.write(w, time.Now())
	}
	e.do("compact", func(ctx context.Context, c *clientv3.Client) error {
		r, err := c.Get(ctx, "/rollcall/svc/head")
		if err != nil {
			return err
		}
		_, err = c.Compact(ctx, r.Header.Revision, clientv3.WithCompactPhysical())
		return err
	})
	f.process.thaw()
	thawed := time.Now()
	s.write(f, thawed)
	s.ready(s.dnsds...)
	f.process.says("the store has forgotten changes that this member has not seen")
	t.Logf("dnsd %s has caught up %v after SIGCONT", f.name, time.Since(thawed).Round(time.Millisecond))
	c.expect(f)
	c.disperse()
}

// TestEtcdHasNoSpace: its quota is used up. Registrations are refused; renewals,
// deregistrations, another writer and DNS go on.
func TestEtcdHasNoSpace(t *testing.T) {
	need(t)
	t.Parallel()
	e := newEtcd(t, "--quota-backend-bytes", "4194304")
	s := newShared(t, e, 3)
	c := s.gather()
	w := s.settled()
	for _, id := range []string{"x1", "x2", "x3"} {
		if text, status, _, err := w.ask("PUT", "/v1/services/_full._tcp/instances/"+id, `{"port":1,"lease":"1h"}`); status != 201 {
			t.Fatal(status, text, err)
		}
	}
	await(t, "the spare keys are filled", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r, err := e.admin.Get(ctx, "/rollcall/svc/spare/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		return err == nil && r.Count == 1000
	})
	junk := strings.Repeat("junk", 100_000)
	await(t, "the quota is used up", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := e.admin.Put(ctx, fmt.Sprint("/junk/", time.Now().UnixNano()), junk)
		return err != nil && strings.Contains(err.Error(), "database space exceeded")
	})
	refused := func(d *dnsd) {
		t.Helper()
		last := ""
		await(t, "dnsd "+d.name+" refuses a registration with 507", func() bool {
			text, status, _, err := d.ask("PUT", "/v1/services/_full._tcp/instances/x9", `{"port":1}`)
			if now := fmt.Sprint(status, text, err); now != last {
				last = now
				t.Logf("dnsd %s, while etcd is full, answers a registration: %s", d.name, last)
			}
			return err == nil && status == 507
		})
	}
	removed := func(d *dnsd, id string) {
		t.Helper()
		if text, status, _, err := d.ask("DELETE", "/v1/services/_full._tcp/instances/"+id, ""); status != 204 {
			t.Errorf("dnsd %s, asked to remove %s while etcd is full: %d %s %v", d.name, id, status, text, err)
		}
		for _, d := range s.dnsds {
			await(t, "dnsd "+d.name+" has removed "+id, func() bool {
				_, status, _, err := d.ask("GET", "/v1/services/_full._tcp/instances/"+id, "")
				return err == nil && status == 404
			})
		}
	}
	for i, d := range s.dnsds {
		refused(d)
		removed(d, fmt.Sprint("x", i+1))
	}
	await(t, "the alarm is shown", func() bool {
		c, err := w.status()
		return err == nil && c.Etcd != nil && strings.Contains(c.Etcd.Error, "NOSPACE")
	})
	c.pass(2 * lease) // of renewals

	// The next writer needs no space to become it.
	c.excuse(w)
	w.process.kill()
	others := s.others(w)
	next := s.successor(w, others...)
	refused(next)
	e.do("make space", func(ctx context.Context, c *clientv3.Client) error {
		r, err := c.Delete(ctx, "/junk/", clientv3.WithPrefix())
		if err == nil {
			_, err = c.Compact(ctx, r.Header.Revision, clientv3.WithCompactPhysical())
		}
		if err == nil {
			_, err = c.Defragment(ctx, e.url())
		}
		if err == nil {
			_, err = c.AlarmDisarm(ctx, &clientv3.AlarmMember{})
		}
		return err
	})
	disarmed := time.Now()
	for _, d := range others {
		t.Logf("dnsd %s takes registrations %v after the alarm is disarmed", d.name, s.write(d, disarmed).Round(time.Millisecond))
	}
	w.restart()
	s.ready(s.dnsds...)
	c.expect(w)
	c.disperse()
}

// TestEtcdIsRestored: from a snapshot, while all dnsd run. A new life begins, above all
// revisions before, and the dnsd write back what the snapshot lacks.
func TestEtcdIsRestored(t *testing.T) {
	need(t)
	t.Parallel()
	e := newEtcd(t)
	s := newShared(t, e, 3)
	c := s.gather()
	w := s.settled()
	s.write(w, time.Now())
	e.ctl("--endpoints " + e.url() + " snapshot save backup.db")
	for range 20 {
		s.write(w, time.Now())
	}
	before, newest := w.revision(), s.number
	text, _, _, err := w.ask("GET", "/v1/services", "")
	var old register.Services
	if err := errors.Join(err, json.Unmarshal([]byte(text), &old)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = c.record.Restore(ctx, func() {
		e.process.stop()
		e.data = "restored"
		e.ctl("snapshot restore backup.db --name given --data-dir restored --initial-cluster given=" + e.peer() + " --initial-advertise-peer-urls " + e.peer())
		e.start()
		e.answers()
	})
	if err != nil {
		t.Fatal(err)
	}
	s.ready(s.dnsds...)
	for _, d := range s.dnsds {
		if now := d.revision(); now <= before {
			t.Errorf("dnsd %s is at revision %d, before the restore it was %d", d.name, now, before)
		}
		if _, status, _, err := d.ask("GET", fmt.Sprintf("/v1/services/_after._tcp/instances/w%d", newest), ""); status != 200 {
			t.Errorf("dnsd %s has lost what the snapshot lacks: %d %v", d.name, status, err)
		}
		watch := fmt.Sprintf("/v1/watch?since=%s-%d", old.Life, old.Revision)
		if text, status, _, err := d.ask("GET", watch, ""); status != http.StatusGone {
			t.Errorf("dnsd %s lets a watch of the life before go on: %d %s %v", d.name, status, text, err)
		}
		s.write(d, time.Now())
	}
	c.disperse()

	// All dnsd start again with an older etcd: what they have is a copy, which is older
	// than the store may be, so the store's content counts, and their revisions.
	before = s.writer().revision()
	for _, d := range s.dnsds {
		d.process.stop()
	}
	e.process.stop()
	e.data = "again"
	e.ctl("snapshot restore backup.db --name given --data-dir again --initial-cluster given=" + e.peer() + " --initial-advertise-peer-urls " + e.peer())
	e.start()
	e.answers()
	for _, d := range s.dnsds {
		d.start()
	}
	s.ready(s.dnsds...)
	await(t, fmt.Sprintf("after a restart with an older etcd the revision is above %d", before), func() bool { return s.writer().revision() > before })
}
