package cluster

import (
	"errors"
	"testing"
)

func TestVersions(t *testing.T) {
	for version, good := range map[string]bool{
		"3.4.0": true, "3.4.23": true, "3.7.3": true, "3.10.0-rc.1": true, "4.0.0": true, "3.4": true,
		"3.3.27": false, "2.3.8": false, "": false, "3": false, "three.four": false, "3.x": false,
	} {
		var old *oldError
		if err := checkVersion(version); (err == nil) != good || err != nil && !errors.As(err, &old) {
			t.Errorf("%q: %v", version, err)
		}
	}
}
