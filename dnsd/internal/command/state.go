package command

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd"
)

// stateDir is the directory for the small files of memory stores: that of systemd
// (StateDirectory=), else one among the user's caches. Empty: there is none, and the
// clock decides where revisions begin.
func stateDir() string {
	if dirs := os.Getenv("STATE_DIRECTORY"); dirs != "" {
		first, _, _ := strings.Cut(dirs, string(os.PathListSeparator))
		return first
	}
	caches, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(caches, "rollcall")
}

// forgets says whether a memory store of cfg has no file for the highest revision that it
// gave out.
func forgets(cfg dnsd.Config) bool {
	return cfg.StateDir == "" && (len(cfg.Zones) == 0 || slices.ContainsFunc(cfg.Zones, func(z dnsd.Zone) bool {
		return (z.Store.Kind == "" || z.Store.Kind == "memory") && z.Store.Ceiling == ""
	}))
}
