// Package release has the version of the programs, as both commands tell it.
package release

import (
	"runtime"
	"runtime/debug"
)

// stamp is the version and the commit of a release, set by the linker: packaging/dist.
var stamp string

// Version is that of the release, else that of the module with its commit, and that of Go.
func Version() string {
	if stamp != "" {
		return stamp + " " + runtime.Version()
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && v == "(devel)" {
			v += " " + s.Value
		}
	}
	return v + " " + info.GoVersion
}
