package hook

import (
	"fmt"

	"github.com/rollcall-dns/rollcall/dnsd/internal/limit"
)

// share is how many percent of the process' descriptors the hook's connections may use:
// DNS, the store and the log need some, too.
const share = 75

// fit lowers the number of connections to what the descriptors allow: to run out of
// them would stop DNS as well. It returns a warning if the number was asked for.
func (l *Limits) fit(asked, files int, known bool) (warning string) {
	if most := max(files*share/100, 1); known && l.Connections > most {
		l.Connections = most
	}
	if asked == 0 || asked == l.Connections {
		return ""
	}
	return fmt.Sprintf("connections %d are more than a process that may open %d files can have: the hook takes at most %d; raise ulimit -n (systemd: LimitNOFILE), or lower connections", asked, files, l.Connections)
}

// warnings are what an operator should know about the configuration. asked is the
// number of connections in the Corefile; 0: none.
func (s *Server) warnings(st *state, asked int) []string {
	var list []string
	files, known := limit.Files()
	if w := st.limits.fit(asked, files, known); w != "" {
		list = append(list, w)
	}
	if len(st.grants) > 0 && !st.loopback && !st.access.encrypted {
		// RFC 6750 section 5.3 asks for TLS.
		list = append(list, fmt.Sprintf("tokens reach %v unencrypted, and anyone on the network path can read and use them: add tls to the hook", s.addr))
	}
	return list
}
