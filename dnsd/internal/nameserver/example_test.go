package nameserver

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

func ExampleListen() {
	z, err := zone.New(zone.Config{Origin: "svc.", NSAddrs: []netip.Addr{netip.MustParseAddr("192.0.2.53")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := Listen(Config{Addrs: []string{"127.0.0.1:0"}, Zones: []Zone{{Zone: z}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	fmt.Println(strings.Split(s.Addrs()[0].String(), ":")[0])
	// Output: 127.0.0.1
}
