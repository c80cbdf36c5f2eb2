package rpcclient

import (
	"context"
	"fmt"
	"net/rpc"
)

// greet pings a fresh connection and waits for the answer: what accepts
// connections need not be an rpc server, nor alive.
func (c *conn) greet(ctx context.Context) error {
	now := c.now()
	cl := &call{method: pingMethod, args: struct{}{}, start: now, deadline: now + c.pingWait, limit: byPing, done: make(chan struct{}, 1)}
	if err := c.send(ctx, cl); err != nil {
		return c.odd(err)
	}
	select {
	case <-cl.done:
	case <-ctx.Done():
		if c.abandon(cl) {
			return c.odd(contextError(ctx))
		}
		<-cl.done
	}
	switch cl.err.(type) {
	case nil:
		// Not the refusal of a stock server: rpcserver answers pings before anything.
		c.prompt.Store(true)
		return nil
	case rpc.ServerError:
		return nil
	}
	return c.odd(cl.err)
}

// odd adds to the error of a first ping what the server has said instead.
func (c *conn) odd(err error) error {
	c.mu.Lock()
	if c.life >= ended {
		err = c.endedFor // how far the ping itself has come is of no interest
	}
	c.mu.Unlock()
	heard := c.heard.Load()
	switch {
	case heard == nil:
		return err
	case heard[0] == 0x15 && heard[1] == 3, heard[0] == 0x16 && heard[1] == 3: // alert, handshake: RFC 8446, 5.1
		return fmt.Errorf("the server speaks TLS: set Config.TLS: %w", err)
	case string(heard[:4]) == "HTTP":
		return fmt.Errorf("the server speaks HTTP: for one with rpc.HandleHTTP, set Config.Dial to HTTPPath: %w", err)
	case heard[0] == '{', heard[0] == '[':
		return fmt.Errorf("the server seems to speak JSON: is Config.Codec right? %w", err)
	}
	return err
}
