package hook

import (
	"net/http"
	"strconv"
	"time"
)

// PushSession is a session of a client that follows services live.
type PushSession struct {
	Listener      string    `json:"listener"` // as in the metrics
	Address       string    `json:"address"`  // of the client
	TLS           bool      `json:"tls,omitempty"`
	Since         time.Time `json:"since"`
	Last          time.Time `json:"last"`          // when a message came or was sent
	Subscriptions int       `json:"subscriptions"` // names that it follows
	Pending       int       `json:"pending"`       // octets that the client has not taken yet
	Behind        bool      `json:"behind,omitempty"`
}

// PushSessions are the first of Total sessions.
type PushSessions struct {
	Sessions []PushSession `json:"sessions"`
	Total    int           `json:"total"`
}

const (
	usualPush = 100
	mostPush  = 1000
	// pushBytes is the memory of a session while its answer is sent.
	pushBytes = 512
)

// showPush answers with the sessions of clients that follow the zone live: first those for
// which the most waits.
func (x *exchange) showPush() error {
	if err := x.need(Admin, ""); err != nil {
		return err
	}
	q, err := x.query("limit")
	if err != nil {
		return err
	}
	limit := usualPush
	if q.Has("limit") {
		if limit, err = strconv.Atoi(q.Get("limit")); err != nil || limit < 1 || limit > mostPush {
			return refuse(http.StatusBadRequest, "limit", "limit %.40q: give a number from 1 to %d", q.Get("limit"), mostPush)
		}
	}
	x.w.Header().Set("Cache-Control", "no-store")
	if x.st.push == nil {
		return x.json(http.StatusOK, PushSessions{Sessions: []PushSession{}})
	}
	release, err := x.memory(pushBytes*limit, "ask for less")
	if err != nil {
		return err
	}
	defer release()
	all := x.st.push(limit)
	x.audit.object = strconv.Itoa(len(all.Sessions)) + " sessions"
	if all.Sessions == nil {
		all.Sessions = []PushSession{}
	}
	return x.json(http.StatusOK, all)
}
