package rpcclient

import "testing"

func TestOptionsOfACallCombine(t *testing.T) {
	safe, hedged := Method{Idempotent: true}, Method{Idempotent: true, Hedge: 0.1}
	for name, tt := range map[string]struct {
		declared Method
		opts     []CallOption
		want     Method
	}{
		"none":                          {hedged, nil, hedged},
		"Idempotent":                    {Method{}, []CallOption{Idempotent()}, safe},
		"Idempotent leaves hedging":     {hedged, []CallOption{Idempotent()}, hedged},
		"Hedge is idempotent":           {Method{}, []CallOption{Hedge(0.1)}, hedged},
		"Hedge replaces the share":      {Method{true, 0.02}, []CallOption{Hedge(0.1)}, hedged},
		"Hedge before Idempotent":       {Method{}, []CallOption{Hedge(0.1), Idempotent()}, hedged},
		"Hedge(0) ends hedging":         {hedged, []CallOption{Hedge(0)}, safe},
		"a negative share is none":      {Method{}, []CallOption{Hedge(-1)}, safe},
		"a share is a half at the most": {Method{}, []CallOption{Hedge(7)}, Method{true, 0.5}},
	} {
		c := newClient(t, Config{Methods: map[string]Method{"A.B": tt.declared}, Source: announce()})
		if got := c.newCall("A.B", nil, nil, tt.opts).options.Method; got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}
