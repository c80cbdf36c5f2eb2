package conn

import (
	"encoding/gob"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	gob.Register(Inner{})
	gob.Register(Outer{})
	goleak.VerifyTestMain(m)
}
