package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// Stores opens the stores that several dnsd share. It is the [dnsd.Stores] of the full
// dnsd.
type Stores struct{}

// Limits of a transaction at an etcd that is there: its defaults, 128 operations and a
// request of 1.5 MiB, of which a part is for what is around keys and values.
const (
	etcdOps   = 128
	etcdBytes = 1 << 20
)

// openTime bounds how long Open waits for an etcd's first answer. It does not need one,
// but an answer shows what an operator has to mend: wrong credentials, or an etcd that is
// too old.
const openTime = 3 * time.Second

// Check implements [dnsd.Stores].
func (Stores) Check(s dnsd.SharedStore) error {
	if _, err := clientTLS(s.TLS.Cert, s.TLS.Key, s.CA); err != nil || s.TLS.Cert == "" {
		return err
	}
	return checkCertificate(s, time.Now())
}

// Open implements [dnsd.Stores]. That etcd cannot be reached is logged; that it refuses
// this dnsd, or is too old, is an error.
func (Stores) Open(ctx context.Context, s dnsd.SharedStore, log *slog.Logger) (kv.Store, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if s.Dir != "" {
		return openCluster(ctx, s, log, nil)
	}
	return openEtcd(ctx, s, log)
}

// openEtcd opens the store of an etcd that is there.
func openEtcd(ctx context.Context, s dnsd.SharedStore, log *slog.Logger) (kv.Store, error) {
	conf, err := clientTLS(s.TLS.Cert, s.TLS.Key, s.CA)
	if err != nil {
		return nil, err
	}
	c := newClient(kv.Limits{Ops: etcdOps, Bytes: etcdBytes}, log)
	if s.User != "" {
		c.token = newToken(s.User, s.PasswordFile)
	}
	if err := c.add(s.Endpoints, conf); err != nil {
		c.Close()
		return nil, err
	}
	first, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	_, _, err = c.Get(first, s.Prefix+"/head")
	if errors.Is(err, kv.ErrUnavailable) {
		err = c.refusal(first, conf, err)
	}
	switch old := (*oldError)(nil); {
	case err == nil:
	case errors.Is(err, kv.ErrDenied), errors.As(err, &old):
		c.Close()
		return nil, err
	case ctx.Err() != nil:
		c.Close()
		return nil, ctx.Err()
	default:
		log.Error("the store does not answer; it is tried again all the time", "error", err)
	}
	return c, nil
}

// refusal looks whether it is for certificates that no server could be used.
func (c *client) refusal(ctx context.Context, conf *tls.Config, away error) error {
	for _, s := range c.servers {
		if u, err := url.Parse(s.url); err == nil && u.Scheme == "https" {
			if v := probe(ctx, u.Host, conf); v != nil {
				return &fault{kind: kv.ErrDenied, place: s.url, op: "connect", cause: v}
			}
		}
	}
	return away
}

// add adds the servers at some URLs.
func (c *client) add(endpoints []string, conf *tls.Config) error {
	for _, e := range endpoints {
		u, err := url.Parse(e)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("etcd: bad URL %q; expected one such as https://10.0.0.1:2379", e)
		}
		s, err := newServer(c.life, u, conf, nil)
		if err != nil {
			return err
		}
		c.servers = append(c.servers, s)
	}
	if len(c.servers) == 0 {
		return errors.New("etcd: no endpoints; expected one such as https://10.0.0.1:2379")
	}
	return nil
}

// Tests: stores_test.go.
