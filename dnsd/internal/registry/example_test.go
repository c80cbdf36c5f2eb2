package registry_test

import (
	"context"
	"fmt"
	"iter"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// printer is a sink that prints the changes.
type printer struct{}

func (printer) Load(revision uint64, _ iter.Seq[*registry.Instance], _ []registry.Change) {
	fmt.Println("revision", revision)
}

func (printer) Apply(changes []registry.Change) {
	for _, c := range changes {
		if c.New == nil {
			fmt.Println(c.Revision, c.Key(), "gone")
			continue
		}
		fmt.Println(c.Revision, c.Key(), c.New.HostPort(), c.New.State)
	}
}

func Example() {
	r, err := registry.Open(registry.Config{}) // in memory
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }() // ends leases
	defer func() { stop(); <-ended }()
	r.Attach(printer{})

	a1 := registry.Instance{
		Key:  registry.Key{Service: "_math._tcp", ID: "a1"},
		Host: "10.0.0.7", Port: 8080, Priority: 10, Weight: 100,
	}
	r.Register(ctx, a1)
	r.Register(ctx, a1) // a renewal
	a1.Port = 8081
	r.Register(ctx, a1)
	r.Drain(ctx, a1.Key, false)
	r.Deregister(ctx, a1.Key, nil)
	_, err = r.Renew(ctx, a1.Key, 0)
	fmt.Println(err)
	// Output:
	// revision 0
	// 1 _math._tcp/a1 10.0.0.7:8080 up
	// 2 _math._tcp/a1 10.0.0.7:8081 up
	// 3 _math._tcp/a1 10.0.0.7:8081 drained
	// 4 _math._tcp/a1 gone
	// registry: no such instance
}
