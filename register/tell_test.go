package register

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// OnChange may call the lease, panic or hang: the lease is kept and closed as usual.
func TestOnChangeMayCallBackPanicAndHang(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	for name, do := range map[string]func(*Lease, Status){
		"close": func(l *Lease, _ Status) { l.Close(context.Background()) },
		"update": func(l *Lease, st Status) {
			if st.State == LeaseRenewed {
				l.Update(context.Background(), l.Registration())
			}
		},
		"panic":  func(*Lease, Status) { panic("no") },
		"hang":   func(*Lease, Status) { <-hang },
		"nought": func(*Lease, Status) {},
	} {
		t.Run(name, func(t *testing.T) {
			puts := make(chan struct{}, 1000)
			hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.Method {
				case http.MethodPut:
					puts <- struct{}{}
					json.NewEncoder(w).Encode(Published{ID: "a", TTL: Duration(time.Second), RenewAfter: Duration(100 * time.Millisecond)})
				case http.MethodDelete:
					w.WriteHeader(http.StatusNoContent)
				default:
					w.WriteHeader(http.StatusNotImplemented)
				}
			}))
			defer hook.Close()
			var lease *Lease
			var begun sync.WaitGroup
			begun.Add(1)
			told := make(chan struct{}, 1000)
			lease, err := Keep(t.Context(), Config{
				Hooks: []string{hook.URL}, Service: "_math._tcp", NoHold: true, Background: true,
				Registration: Registration{Port: 80},
				OnChange: func(st Status) {
					begun.Wait()
					told <- struct{}{}
					do(lease, st)
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			begun.Done()
			<-told
			if name != "close" {
				for range 3 { // it is renewed
					<-puts
				}
			}
			if err := lease.Close(t.Context()); err != nil {
				t.Error(err)
			}
			<-lease.Done()
		})
	}
}
