package conn

import (
	"context"
	"fmt"
	"net/rpc"
)

// Greet pings a new connection and waits for the answer: what accepts connections need
// not be an rpc server, and need not be alive.
func (c *Conn) Greet(ctx context.Context) error {
	req := c.newPing()
	if err := c.Send(ctx, req); err != nil {
		return c.odd(err)
	}
	select {
	case <-req.Done:
	case <-ctx.Done():
		if c.Abandon(req) {
			return c.odd(ContextError(ctx))
		}
		<-req.Done
	}
	switch req.Err.(type) {
	case nil:
		// An answer without an error is rpcserver's, which answers pings at once.
		c.prompt.Store(true)
		return nil
	case rpc.ServerError:
		return nil
	}
	return c.odd(req.Err)
}

// odd adds to the error of a first ping what the server seems to speak.
func (c *Conn) odd(err error) error {
	c.mu.Lock()
	if c.life >= ended {
		err = c.endedFor // it says more than the error of the ping
	}
	c.mu.Unlock()
	heard := c.heard.Load()
	switch {
	case heard == nil:
		return err
	case heard[0] == 0x15 && heard[1] == 3, heard[0] == 0x16 && heard[1] == 3: // alert, handshake: RFC 8446, 5.1
		return fmt.Errorf("the server speaks TLS: set Config.Conn.TLS: %w", err)
	case string(heard[:4]) == "HTTP":
		return fmt.Errorf("the server speaks HTTP: for one with rpc.HandleHTTP, set Config.Conn.Dial to HTTPPath: %w", err)
	case heard[0] == '{', heard[0] == '[':
		return fmt.Errorf("the server seems to speak JSON: is Config.Conn.Codec right? %w", err)
	}
	return err
}
