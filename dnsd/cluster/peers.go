package cluster

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
)

// badPeer is why something that answers is no server of this cluster: other than a server
// that is away, an operator has to mend it.
type badPeer struct{ cause error }

func (b *badPeer) Error() string { return b.cause.Error() }
func (b *badPeer) Unwrap() error { return b.cause }

// peersClient asks the other servers over the port that they have for each other.
type peersClient struct {
	conf *tls.Config
	http *http.Client
}

func newPeersClient(conf *tls.Config) *peersClient {
	return &peersClient{conf, &http.Client{
		Transport:     &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// askTime bounds what one server is asked. A start waits for it when a machine is down.
const askTime = 2 * time.Second

// maxMembers bounds the list of members.
const maxMembers = 1 << 20

// ask asks all peers but this one which cluster they are of.
func (c *peersClient) ask(ctx context.Context, s dnsd.SharedStore) []word {
	own := ownPeer(s)
	words := make([]word, 0, len(s.Peers))
	for _, p := range s.Peers {
		if p.URL != own.URL {
			words = append(words, word{url: p.URL})
		}
	}
	var all sync.WaitGroup
	for i := range words {
		w := &words[i]
		all.Go(func() { w.cluster, w.members, w.err = c.members(ctx, w.url) })
	}
	all.Wait()
	return words
}

// members asks one server for its cluster.
func (c *peersClient) members(ctx context.Context, from string) (uint64, []peerMember, error) {
	body, h, err := c.get(ctx, from+"/members")
	if err != nil {
		return 0, nil, err
	}
	id, err := strconv.ParseUint(h.Get("X-Etcd-Cluster-ID"), 16, 64)
	if err != nil {
		return 0, nil, &badPeer{fmt.Errorf("the id of its cluster: %w", err)}
	}
	var members []peerMember
	if err := json.Unmarshal(body, &members); err != nil {
		return 0, nil, &badPeer{fmt.Errorf("its list of members: %w", err)}
	}
	if len(members) == 0 {
		return 0, nil, &badPeer{errors.New("its list of members is empty")}
	}
	return id, members, nil
}

// alive asks whether a server answers.
func (c *peersClient) alive(ctx context.Context, from string) error {
	_, _, err := c.get(ctx, from+"/version")
	return err
}

// get gets a small page. The error is a *badPeer if the other end is there.
func (c *peersClient) get(ctx context.Context, page string) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return nil, nil, err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, nil, c.why(ctx, r.URL, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxMembers))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = &badPeer{fmt.Errorf("it answers with status %s: is it a server of etcd, and the URL's scheme right?", answer.Status)}
	}
	return body, answer.Header, err
}

// why finds out whether a server could not be asked because of what an operator wrote. A
// server that is away does not take a connection.
func (c *peersClient) why(ctx context.Context, u *url.URL, err error) error {
	var dial *net.OpError
	switch v := verdict(err); {
	case v != nil:
		return &badPeer{v}
	case ctx.Err() != nil, errors.As(err, &dial) && dial.Op == "dial":
		return err
	case u.Scheme == "https":
		if v := probe(ctx, u.Host, c.conf); v != nil {
			return &badPeer{v}
		}
	}
	return &badPeer{fmt.Errorf("it does not answer as a server of etcd does: is the URL's scheme right? (%w)", err)}
}

// Tests: peers_test.go.
