package hook

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd/internal/console"
)

// console serves the page. The page has no data of the registry: it reads the same API
// as any client, with the same tokens.
func (x *exchange) console() error { return x.consoleSend(x.st.console.File) }

// consoleFile serves one of the files that the page loads.
func (x *exchange) consoleFile() error {
	f, ok := x.st.console.Load(x.r.PathValue("file"))
	if !ok {
		return refuse(http.StatusNotFound, "", "the console has no such file: it begins at /")
	}
	return x.consoleSend(f)
}

func (x *exchange) consoleSend(f console.File) error {
	h := x.w.Header()
	h.Set("Content-Security-Policy", console.Policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache") // an upgrade of dnsd is seen at the next visit
	h.Set("ETag", f.ETag)
	if known(x.r.Header.Get("If-None-Match"), f.ETag) {
		x.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", f.Type)
	h.Set("Content-Length", strconv.Itoa(len(f.Body)))
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(f.Body)
	}
	return nil
}

// known says whether the client has this file (RFC 9110 section 13.1.2).
func known(tags, tag string) bool {
	for one := range strings.SplitSeq(tags, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}
