// Rollcall is the command for people: it shows what is registered with dnsd, and changes
// it. docs/command.md describes it, and so does "rollcall help".
package main

import (
	"context"
	"os"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/verbs"
)

func main() {
	os.Exit(verbs.Main(context.Background(), os.Args[1:]))
}
