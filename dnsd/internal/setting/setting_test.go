package setting

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestAnErrorNamesFieldAndItem(t *testing.T) {
	for want, err := range map[string]error{
		"MinLease: 1s is too short":              Errorf("MinLease", "%v is too short", "1s"),
		"Tokens[1]: the secret is empty":         Of("Tokens", 1, errors.New("the secret is empty")),
		"TSIG[xfr.]: file does not exist":        Of("TSIG", "xfr.", fs.ErrNotExist),
		"room: configure: TLS: file is not here": fmt.Errorf("room: configure: %w", Errorf("TLS", "file is not here")),
	} {
		var bad *Error
		if err.Error() != want || !errors.As(err, &bad) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := Of("TSIG", "xfr.", fs.ErrNotExist); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the cause is lost")
	}
}
