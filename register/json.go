package register

// Registration is what an instance says about itself: the body of the PUT. Only
// Port is required.
type Registration struct {
	// Host is an IP address or a fully qualified name. Empty: the address that
	// the hook sees the request come from.
	Host string `json:"host,omitempty"`
	Port uint16 `json:"port"`
	// Priority and Weight are the SRV fields (RFC 2782), published as they are;
	// nil leaves the choice to the hook: 10 and 100.
	Priority *uint16 `json:"priority,omitempty"`
	Weight   *uint16 `json:"weight,omitempty"`
	// TTL is the DNS field, at most half of Lease; Lease is how long the instance
	// stays published without a renewal. Zero: the hook's defaults, 5s and 15s.
	TTL   Duration `json:"ttl,omitzero"`
	Lease Duration `json:"lease,omitzero"`
	// Meta is published as TXT beside the instance's own SRV.
	Meta        map[string]string `json:"meta,omitempty"`
	Incarnation uint64            `json:"incarnation,omitempty"`
}

// InstanceState says how a published instance is seen by dnsd.
type InstanceState string

// The states of a published instance.
const (
	InstanceUp          InstanceState = "up"
	InstanceUnconfirmed InstanceState = "unconfirmed" // not renewed since dnsd restarted
	InstanceSuspect     InstanceState = "suspect"     // overdue, held back by the guard
	InstanceDrained     InstanceState = "drained"     // out of the answers on an operator's request
)

// Published is an instance as the hook answers it.
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
	// Sticky says of one that is drained that it will be again when it comes back
	// after it was gone.
	Sticky    bool     `json:"sticky,omitempty"`
	ExpiresIn Duration `json:"expires_in"`
	Revision  uint64   `json:"revision"`
	// RenewAfter is set in the answer to a PUT: the time to the next renewal, a
	// third of the lease.
	RenewAfter Duration `json:"renew_after,omitzero"`
}

// Service is the answer to GET /v1/services/{service}, and a part of [Services].
type Service struct {
	// Life names the life of the registry that Revision is of: where to go on is
	// GET /v1/watch?since=LIFE-REVISION. Within [Services] it is empty.
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

// RenewRequest is the body of POST /v1/renew.
type RenewRequest struct {
	// "_math._tcp/a1" renews whoever lives there, "_math._tcp/a1?incarnation=7" only
	// that incarnation.
	Instances []string `json:"instances"`
}

// RenewAnswer is its answer. Those unknown must be PUT again; those replaced, by a
// newer incarnation, must stop.
type RenewAnswer struct {
	Revision uint64   `json:"revision"`
	Renewed  int      `json:"renewed"`
	Unknown  []string `json:"unknown"`
	Replaced []string `json:"replaced,omitempty"`
}

// Types of a watch event. They are also the names of the server-sent events.
const (
	EventPut    = "put"    // the instance is new or changed
	EventDelete = "delete" // the instance is gone; Instance is what it was
)

// Event is the data of one event of GET /v1/watch.
type Event struct {
	Revision uint64    `json:"revision"`
	Type     string    `json:"type"`
	Service  string    `json:"service"`
	Instance Published `json:"instance"`
}

// Uint16 returns a pointer to v, for the fields of [Registration] in which 0 is
// a value and nil means the default.
func Uint16(v uint16) *uint16 { return &v }
