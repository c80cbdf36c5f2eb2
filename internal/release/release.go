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

// module is that of Rollcall. Those below it, such as that of the full dnsd, are built from
// the same commit.
const module = "github.com/rollcall-dns/rollcall"

// Rollcall is the version of Rollcall that is in this program, which may be another's.
func Rollcall() string {
	if stamp != "" {
		version, _, _ := strings.Cut(stamp, " ")
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return rollcall(info)
}

func rollcall(info *debug.BuildInfo) string {
	if info.Main.Path == module || strings.HasPrefix(info.Main.Path, module+"/") {
		return info.Main.Version // Go takes it from the commit; that of the module in go.mod says nothing
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return info.Main.Version
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
