package register

import "time"

// Registration describes an instance: it is the body of the PUT. Only Port is
// required.
type Registration struct {
	// Host is an IP address or a fully qualified name. Empty: the address from
	// which the hook received the request.
	Host string `json:"host,omitempty"`
	Port uint16 `json:"port"`
	// Priority and Weight are the SRV fields (RFC 2782), published unchanged. Nil:
	// the hook's defaults, 10 and 100.
	Priority *uint16 `json:"priority,omitempty"`
	Weight   *uint16 `json:"weight,omitempty"`
	// TTL is the DNS field, at most half of Lease. Lease is how long the instance
	// stays published without a renewal. Zero: the hook's defaults, 5s and 15s.
	TTL   Duration `json:"ttl,omitzero"`
	Lease Duration `json:"lease,omitzero"`
	// Meta is published as the TXT record of the instance.
	Meta map[string]string `json:"meta,omitempty"`
	// Incarnation grows with each process that takes over the id, see the package's
	// comment.
	Incarnation uint64 `json:"incarnation,omitempty"`
	// Drain leaves the instance out of DNS while its lease goes on, because the instance
	// itself wants it so. See [Lease.Drain].
	Drain bool `json:"drain,omitempty"`
}

// InstanceState is the state of a published instance in dnsd's registry.
type InstanceState string

// The states of a published instance.
const (
	InstanceUp          InstanceState = "up"
	InstanceUnconfirmed InstanceState = "unconfirmed" // not renewed since dnsd was restarted
	InstanceSuspect     InstanceState = "suspect"     // its lease has ended, but the guard keeps it published
	InstanceDrained     InstanceState = "drained"     // left out of the answers: see Published.DrainedBy
)

// What drained an instance, in Published.DrainedBy. Each ends its own drain, and that of
// the other goes on.
const (
	DrainedByOperator = "operator"
	DrainedByInstance = "instance"
)

// Published is an instance in an answer of the hook.
type Published struct {
	ID          string            `json:"id"`
	Host        string            `json:"host"`
	Port        uint16            `json:"port"`
	Priority    uint16            `json:"priority"`
	Weight      uint16            `json:"weight"`
	TTL         Duration          `json:"ttl"`
	Lease       Duration          `json:"lease"`
	Meta        map[string]string `json:"meta,omitempty"`
	Incarnation uint64            `json:"incarnation"`
	State       InstanceState     `json:"state"`
	// DrainedBy has DrainedByOperator, DrainedByInstance, or both, if State is drained. A
	// dnsd that does not know the field knows only operators.
	DrainedBy []string `json:"drained_by,omitempty"`
	// Sticky means that an instance that an operator drained will be drained again if it is
	// removed and comes back.
	Sticky bool `json:"sticky,omitempty"`
	// ExpiresIn is what is left of the lease. Nil: this dnsd does not know, because
	// another one that shares the registry is the writer.
	ExpiresIn *Duration `json:"expires_in,omitempty"`
	Revision  uint64    `json:"revision"`
	// RenewAfter is the time to the next renewal, a third of the lease. It is set in
	// the answer to a PUT.
	RenewAfter Duration `json:"renew_after,omitzero"`
}

// Service is the answer to GET /v1/services/{service}, and an element of [Services].
type Service struct {
	// Life names the life of the registry in which Revision was given:
	// GET /v1/watch?since=LIFE-REVISION continues from this answer. Within [Services]
	// it is empty.
	Life      string      `json:"life,omitempty"`
	Service   string      `json:"service"` // "_math._tcp"
	Revision  uint64      `json:"revision"`
	Instances []Published `json:"instances"` // sorted by id
}

// Services is the answer to GET /v1/services.
type Services struct {
	Life     string    `json:"life"` // as in [Service]
	Revision uint64    `json:"revision"`
	Services []Service `json:"services"` // sorted by name
}

// Fence is what dnsd remembers of an id that is not registered.
type Fence struct {
	Service     string    `json:"service"`
	ID          string    `json:"id"`
	Incarnation uint64    `json:"incarnation,omitempty"` // the lowest that may register; 0: any
	Drained     bool      `json:"drained,omitempty"`     // the next instance will be drained: the drain was sticky
	Time        time.Time `json:"time"`
}

// Fences is the answer to GET /v1/fences.
type Fences struct {
	Revision uint64  `json:"revision"`
	Fences   []Fence `json:"fences"` // the oldest first
}

// RenewRequest is the body of POST /v1/renew.
type RenewRequest struct {
	// "_math._tcp/a1" renews any incarnation, "_math._tcp/a1?incarnation=7" only that
	// one.
	Instances []string `json:"instances"`
}

// RenewAnswer is the answer to POST /v1/renew. Unknown instances must be PUT again;
// replaced ones, which have a newer incarnation, must stop.
type RenewAnswer struct {
	Revision uint64   `json:"revision"`
	Renewed  int      `json:"renewed"`
	Unknown  []string `json:"unknown"`
	Replaced []string `json:"replaced,omitempty"`
}

// The types of an [Event]. They are also the names of the server-sent events.
const (
	EventPut    = "put"    // the instance is new or changed
	EventDelete = "delete" // the instance was removed; Instance is its last state
)

// Event is the data of one event of GET /v1/watch.
type Event struct {
	Revision uint64    `json:"revision"`
	Type     string    `json:"type"`
	Service  string    `json:"service"`
	Instance Published `json:"instance"`
}

// Uint16 returns a pointer to v, for Priority and Weight of [Registration]: there 0
// is a value, and nil means the default.
func Uint16(v uint16) *uint16 { return &v }
