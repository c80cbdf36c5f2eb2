package main

import (
	"os"
	"path/filepath"
	"strings"
)

// stateDir is where the small files of memory stores are: what systemd gives
// (StateDirectory=), else a directory among the user's caches. Empty: there is
// none, and the clock decides where revisions begin.
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
