package pick

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/go-kratos/kratos/v2/registry"
	"github.com/go-kratos/kratos/v2/selector"
	"github.com/go-kratos/kratos/v2/selector/p2c"
	"github.com/go-kratos/kratos/v2/selector/random"
	"github.com/go-kratos/kratos/v2/selector/wrr"
)

var kratosSelectors = map[string]func() selector.Selector{
	"p2c":    func() selector.Selector { return p2c.New() },
	"random": func() selector.Selector { return random.New() },
	"wrr":    func() selector.Selector { return wrr.New() },
}

// kratosSelector is the selector called name over nodes with the weights given.
func kratosSelector(b *testing.B, name string, weights []uint16) selector.Selector {
	s := kratosSelectors[name]()
	var nodes []selector.Node
	for i, w := range weights {
		addr := fmt.Sprintf("10.0.%d.%d:80", i/256, i%256)
		nodes = append(nodes, selector.NewNode("grpc", addr, &registry.ServiceInstance{
			ID: addr, Name: "peers", Metadata: map[string]string{"weight": strconv.Itoa(int(w))},
		}))
	}
	s.Apply(nodes)
	return s
}
