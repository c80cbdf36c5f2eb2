package rpcclient

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"
)

var (
	multiply = MethodOf[*Args, int]("Arith.Multiply", Method{Idempotent: true, Timeout: time.Minute})
	divide   = MethodOf[Args, Quotient]("Arith.Divide")
)

func TestTypedCalls(t *testing.T) {
	s := startStock(t, "")
	var seen []Method
	c := newClient(t, Config{
		Interceptors: []Interceptor{func(ctx context.Context, in *Invocation, next func(context.Context, *Invocation) error) error {
			seen = append(seen, Method{Idempotent: in.Idempotent, Hedge: in.Hedge})
			return next(ctx, in)
		}},
	}, s.addr)
	if n, err := multiply.Call(t.Context(), c, &Args{7, 8}); err != nil || n != 56 {
		t.Error(n, err)
	}
	if n, err := multiply.Call(t.Context(), c, &Args{7, 8}, Hedge(0.1)); err != nil || n != 56 {
		t.Error(n, err)
	}
	if q, err := divide.Call(t.Context(), c, Args{17, 5}); err != nil || q != (Quotient{3, 2}) {
		t.Error(q, err)
	}
	q, err := divide.Call(t.Context(), c, Args{1, 0})
	var server rpc.ServerError
	if !errors.As(err, &server) || server != "divide by zero" || q != (Quotient{}) {
		t.Error(q, err)
	}
	if want := []Method{{Idempotent: true}, {Idempotent: true, Hedge: 0.1}, {}, {}}; !reflect.DeepEqual(seen, want) {
		t.Errorf("settings %+v, want %+v", seen, want)
	}
	c.Close()
	if _, err := multiply.Call(t.Context(), c, &Args{}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestMethodOfRefusesWhatHasNoMeaning(t *testing.T) {
	for want, make := range map[string]func(){
		`rpcclient: MethodOf("Multiply"): want service and method, such as "Arith.Multiply"`:                             func() { MethodOf[int, int]("Multiply") },
		`rpcclient: MethodOf("A.B"): Hedge: only an Idempotent method may be sent twice`:                                 func() { MethodOf[int, int]("A.B", Method{Hedge: 0.1}) },
		`rpcclient: MethodOf("A.B"): AttemptTimeout is negative: want more than 0, or 0 for Config.Retry.AttemptTimeout`: func() { MethodOf[int, int]("A.B", Method{AttemptTimeout: -1}) },
	} {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("%v, want %s", got, want)
				}
			}()
			make()
		}()
	}
}

// TestWrongTypesDoNotCompile: the compiler's type checker refuses a typed call with an
// argument or a result of other types.
func TestWrongTypesDoNotCompile(t *testing.T) {
	check := typeChecker(t, "github.com/rollcall-dns/rollcall/rpcclient")
	for name, tt := range map[string]struct{ line, want string }{
		"right":              {line: "n, err := Multiply.Call(ctx, c, &Args{7, 8}); var _ int = n; _ = err"},
		"with an option":     {line: "_, _ = Multiply.Call(ctx, c, nil, rpcclient.Idempotent())"},
		"argument by value":  {"_, _ = Multiply.Call(ctx, c, Args{7, 8})", "cannot use Args{"},
		"another argument":   {`_, _ = Multiply.Call(ctx, c, "7 8")`, "cannot use"},
		"another reply":      {"var s string; s, _ = Multiply.Call(ctx, c, nil); _ = s", "cannot use"},
		"no client":          {"_, _ = Multiply.Call(ctx, &Args{7, 8})", "not enough arguments"},
		"a reply as pointer": {"var n int; _ = Multiply.Call(ctx, c, nil, &n)", "cannot use &n"},
		"another method":     {"var m rpcclient.TypedMethod[*Args, string] = Multiply; _ = m", "cannot use Multiply"},
	} {
		err := check(`package p
import ("context"; "github.com/rollcall-dns/rollcall/rpcclient")
type Args struct{ A, B int }
var Multiply = rpcclient.MethodOf[*Args, int]("Arith.Multiply", rpcclient.Method{Idempotent: true})
func f(ctx context.Context, c *rpcclient.Client) { ` + tt.line + ` }`)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// typeChecker returns a function that checks the source text of a package that may import
// pkg and whatever pkg is built from.
func typeChecker(t *testing.T, pkg string) func(source string) error {
	out, err := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", pkg).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	files := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 2 {
			files[f[0]] = f[1]
		}
	}
	fset := token.NewFileSet()
	from := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if files[path] == "" {
			return nil, fmt.Errorf("%s is no part of %s", path, pkg)
		}
		return os.Open(files[path])
	})
	return func(source string) error {
		f, err := parser.ParseFile(fset, "p.go", source, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = (&types.Config{Importer: from}).Check("p", fset, []*ast.File{f}, nil)
		return err
	}
}
