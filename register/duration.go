package register

import (
	"encoding/json"
	"fmt"
	"time"
)

// Duration is a time.Duration that is text in JSON: "5s", "1m30s". A bare number is
// an error: it could mean seconds or nanoseconds.
type Duration time.Duration

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String is the text in JSON, without the quotes.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON returns the quoted text.
func (d Duration) MarshalJSON() ([]byte, error) {
	return []byte(`"` + d.String() + `"`), nil
}

// UnmarshalJSON accepts the quoted text and nothing else.
func (d *Duration) UnmarshalJSON(data []byte) error {
	if len(data) == 0 || data[0] != '"' {
		return fmt.Errorf(`register: duration %.40s: write it as text with a unit, such as "5s"`, data)
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("register: duration %.40s: %w", data, err)
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf(`register: duration %.40q: write a number with a unit, such as "5s" or "1m30s"`, text)
	}
	*d = Duration(v)
	return nil
}
