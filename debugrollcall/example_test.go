package debugrollcall_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/rollcall-dns/rollcall/debugrollcall"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

func Example() {
	server := rpcserver.New(rpcserver.Config{})
	mux := http.NewServeMux()
	mux.Handle("/debug/rollcall/", &debugrollcall.Page{
		Servers: map[string]*rpcserver.Server{"api": server},
	})

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/debug/rollcall/?format=json", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 application/json
}
