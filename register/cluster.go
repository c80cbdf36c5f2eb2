package register

import "time"

// Cluster is the answer to GET /v1/cluster: the dnsd that share a registry, which are its
// members. A dnsd that shares with no other is the only one, and the writer.
type Cluster struct {
	Name    string          `json:"name"`   // of the member that answers
	Writer  string          `json:"writer"` // the member that makes all changes; empty: none is known now
	Members []ClusterMember `json:"members"`
	// Etcd is the store that the members share. Nil: there is one dnsd.
	Etcd *ClusterEtcd `json:"etcd,omitempty"`
}

// ClusterRole is what a member of a [Cluster] does.
type ClusterRole string

// The roles of a member.
const (
	ClusterWriter   ClusterRole = "writer"   // makes all changes
	ClusterFollower ClusterRole = "follower" // passes writes on, and answers with what the writer stored
)

// ClusterMember is one dnsd of a [Cluster].
type ClusterMember struct {
	Name     string      `json:"name"`
	Role     ClusterRole `json:"role"`
	Revision uint64      `json:"revision"`          // of what it answers with; 0: not known
	Hook     string      `json:"hook"`              // base URL of its HTTP API
	Address  string      `json:"address,omitempty"` // host:port where other members reach it
	Lag      uint64      `json:"lag,omitempty"`     // changes that are stored and that it does not have yet
	// Version is that of its dnsd. Empty: not known.
	Version string `json:"version,omitempty"`
	// Knows are the words for what instances have been able to ask for since the first
	// release, as far as the member knows them: "drain", that they take themselves out of
	// DNS. A member ignores what it does not know. The words of a dnsd that shares with no
	// other are left out.
	Knows []string `json:"knows,omitempty"`
	// CertificateEnds is when the certificate ends that it shows to etcd, or to the other
	// servers of etcd inside the dnsd. Zero: it has none, or it cannot be read.
	CertificateEnds time.Time `json:"certificate_ends,omitzero"`
	Error           string    `json:"error,omitempty"` // why it does not answer, or is not ready
}

// ClusterEtcd is the store of a [Cluster].
type ClusterEtcd struct {
	Inside  bool   `json:"inside"` // it runs inside the dnsd
	Version string `json:"version,omitempty"`
	Bytes   int64  `json:"bytes,omitempty"` // of its database
	Quota   int64  `json:"quota,omitempty"` // the most that the database may have; 0: not known
	// Members are the servers of etcd: those inside the dnsd, or its endpoints.
	Members []ClusterPeer `json:"members,omitempty"`
	Error   string        `json:"error,omitempty"` // why changes cannot be stored now
	Away    Duration      `json:"away,omitzero"`   // for how long
}

// ClusterPeer is one server of etcd. With Name and Peer only, it is the body of
// POST /v1/cluster/members.
type ClusterPeer struct {
	Name   string `json:"name"`
	Peer   string `json:"peer"`             // the URL where the other servers reach it
	Leader bool   `json:"leader,omitempty"` // of etcd; any member may be the writer
	Error  string `json:"error,omitempty"`
}

// Tests: json_test.go.
