// Package release has the version of the programs, as both commands tell it.
package release

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// stamp is the version and the commit of a release, set by the linker: packaging/dist.
var stamp string

// Version is that of the release, else that of the module with its commit, and that of Go.
func Version() string {
	version, commit := Build()
	if version == "(devel)" || stamp != "" {
		version = strings.TrimRight(version+" "+commit, " ")
	}
	return version + " " + runtime.Version()
}

// Build is the version without that of Go, and the commit, as far as they are known.
func Build() (version, commit string) {
	if stamp != "" {
		version, commit, _ = strings.Cut(stamp, " ")
		return version, commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown", ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			commit = s.Value
		}
	}
	return info.Main.Version, commit
}
