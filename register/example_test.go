package register_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/rollcall-dns/rollcall/register"
)

// The hook of this example accepts every registration; the real one is dnsd.
func ExampleKeep() {
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Method, r.URL.Path)
		switch r.Method {
		case http.MethodPut:
			var reg register.Registration
			json.NewDecoder(r.Body).Decode(&reg)
			json.NewEncoder(w).Encode(register.Published{ID: "a1", Port: reg.Port, State: register.InstanceUp})
		case http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer hook.Close()

	lease, err := register.Keep(context.Background(), register.Config{
		Hooks:        []string{hook.URL},
		Service:      "_math._tcp",
		ID:           "a1",
		Registration: register.Registration{Port: 8080, Weight: register.Uint16(50)},
		NoHold:       true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("published:", lease.Status().Published.ID, lease.Status().Published.Port)
	if err := lease.Close(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// PUT /v1/services/_math._tcp/instances/a1
	// published: a1 8080
	// DELETE /v1/services/_math._tcp/instances/a1
}
