package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// guarded is an etcd that asks for a password.
type guarded struct {
	etcd
	asked    atomic.Int64 // how often it was asked to check a password
	password string       // a file
}

// startGuarded starts one with a user rollcall, whose keys are below /rollcall/svc.
func startGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{password: filepath.Join(t.TempDir(), "password")}
	g.write(t, "secret\nsecond line\n")
	g.etcd = startEtcd(t, func(cfg *embed.Config) {
		cfg.BcryptCost = 4 // the least
		cfg.GRPCAdditionalServerOptions = []grpc.ServerOption{grpc.ChainUnaryInterceptor(
			func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
				if strings.HasSuffix(info.FullMethod, "/Authenticate") {
					g.asked.Add(1)
				}
				return handler(ctx, req)
			})}
	})
	g.must(t, func(ctx context.Context) error { _, err := g.admin.RoleAdd(ctx, "root"); return err })
	g.must(t, func(ctx context.Context) error { _, err := g.admin.UserAdd(ctx, "root", "root"); return err })
	g.must(t, func(ctx context.Context) error { _, err := g.admin.UserGrantRole(ctx, "root", "root"); return err })
	g.must(t, func(ctx context.Context) error { _, err := g.admin.RoleAdd(ctx, "rollcall"); return err })
	g.must(t, func(ctx context.Context) error {
		_, err := g.admin.RoleGrantPermission(ctx, "rollcall", "/rollcall/svc", clientv3.GetPrefixRangeEnd("/rollcall/svc"), clientv3.PermissionType(clientv3.PermReadWrite))
		return err
	})
	g.must(t, func(ctx context.Context) error { _, err := g.admin.UserAdd(ctx, "rollcall", "secret"); return err })
	g.must(t, func(ctx context.Context) error {
		_, err := g.admin.UserGrantRole(ctx, "rollcall", "rollcall")
		return err
	})
	g.must(t, func(ctx context.Context) error { _, err := g.admin.AuthEnable(ctx); return err })
	return g
}

func (g *guarded) must(t *testing.T, do func(context.Context) error) {
	t.Helper()
	if err := do(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (g *guarded) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(g.password, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (g *guarded) asUser(s *dnsd.SharedStore) { s.User, s.PasswordFile = "rollcall", g.password }

func TestAPasswordIsCheckedOnce(t *testing.T) {
	g := startGuarded(t)
	s := g.open(t, g.asUser)
	w := s.Watch(t.Context(), "/rollcall/svc/", 0)
	defer w.Close()
	l, err := s.Grant(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := s.KeepAlive(t.Context(), l.ID); err != nil {
			t.Fatal(err)
		}
		must(t, s, put("/rollcall/svc/head", "x"))
		if _, err := w.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if st := s.Status(t.Context()); st.Error != "" || len(st.Nodes) != 1 || !st.Nodes[0].Healthy || st.Nodes[0].Name != "given" {
		t.Errorf("the status is %+v", st)
	}
	if n := g.asked.Load(); n != 1 {
		t.Errorf("the password was checked %d times", n)
	}
}

func TestCredentialsThatAreWrong(t *testing.T) {
	g := startGuarded(t)
	empty, wrong := filepath.Join(t.TempDir(), "empty"), filepath.Join(t.TempDir(), "wrong")
	for path, text := range map[string]string{empty: "\n", wrong: "guess\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct{ user, file, says string }{
		"no user":          {"", "", "user name is empty"},
		"another password": {"rollcall", wrong, "authentication failed, invalid user ID or password"},
		"another user":     {"nobody", wrong, "authentication failed, invalid user ID or password"},
		"no file":          {"rollcall", "/nowhere/password", "the file of the password: open /nowhere/password"},
		"no password":      {"rollcall", empty, "its first line is the password"},
	} {
		_, err := Stores{}.Open(t.Context(), dnsd.SharedStore{Endpoints: []string{g.url}, Prefix: "/rollcall/svc", User: tc.user, PasswordFile: tc.file}, testLog(t))
		if !errors.Is(err, kv.ErrDenied) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), g.url) {
			t.Errorf("%s: the error is %v, want one with %q", name, err, tc.says)
		}
	}
	_, err := Stores{}.Open(t.Context(), dnsd.SharedStore{Endpoints: []string{g.url}, Prefix: "/other", User: "rollcall", PasswordFile: g.password}, testLog(t))
	if !errors.Is(err, kv.ErrDenied) || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("another prefix: the error is %v", err)
	}
}

func TestAWrongPasswordIsNotTriedInALoop(t *testing.T) {
	g := startGuarded(t)
	s := g.open(t, g.asUser)
	g.must(t, func(ctx context.Context) error {
		admin, err := clientv3.New(clientv3.Config{Endpoints: []string{g.url}, Username: "root", Password: "root"})
		if err != nil {
			return err
		}
		defer admin.Close()
		_, err = admin.UserChangePassword(ctx, "rollcall", "changed")
		return err
	})
	before, began, n := g.asked.Load(), time.Now(), int64(0)
	for ; n < 200; n++ {
		if _, _, err := s.Get(t.Context(), "/rollcall/svc/head"); !errors.Is(err, kv.ErrDenied) {
			t.Fatalf("the error is %v", err)
		}
	}
	if tried, most := g.asked.Load()-before, 1+int64(time.Since(began)/refusalPause); tried < 1 || tried > most {
		t.Errorf("the password was tried %d times in %d calls, more than %d", tried, n, most)
	}
	g.write(t, "changed")
	await(t, func() bool { _, _, err := s.Get(t.Context(), "/rollcall/svc/head"); return err == nil })
}

func TestATokenThatEtcdForgotIsReplaced(t *testing.T) {
	g := startGuarded(t)
	s := g.open(t, g.asUser)
	l, err := s.Grant(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.KeepAlive(t.Context(), l.ID); err != nil {
		t.Fatal(err)
	}
	tok := s.(*client).token
	forget := func() { tok.value = "forgotten.1" } // the test alone uses it now
	revision := must(t, s, put("/rollcall/svc/a", "1"))
	for name, call := range map[string]func() error{
		"get":   func() error { _, _, err := s.Get(t.Context(), "/rollcall/svc/a"); return err },
		"txn":   func() error { _, err := s.Txn(t.Context(), put("/rollcall/svc/b", "1")); return err },
		"grant": func() error { _, err := s.Grant(t.Context(), time.Minute); return err },
		"watch": func() error {
			w := s.Watch(t.Context(), "/rollcall/svc/a", revision-1)
			defer w.Close()
			_, err := w.Next(t.Context())
			return err
		},
		"keep": func() error {
			s.(*client).servers[0].leave(errors.New("the stream has to be opened again"))
			return s.KeepAlive(t.Context(), l.ID)
		},
	} {
		forget()
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A fence is decided once: the second attempt is the first that etcd looked at.
	forget()
	r, err := s.Txn(t.Context(), kv.Txn{If: []kv.Compare{{Key: "/rollcall/svc/a", Is: revision}}, Then: put("/rollcall/svc/a", "2").Then})
	if err != nil || !r.Done {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestATokenThatEtcdWaitsForIsReplaced has a token as one from before etcd was restored
// from a copy. Etcd does not refuse it. It waits until it has made as many changes as it
// had when it gave the token.
func TestATokenThatEtcdWaitsForIsReplaced(t *testing.T) {
	g := startGuarded(t)
	s := g.open(t, g.asUser)
	must(t, s, put("/rollcall/svc/a", "1"))
	tok := s.(*client).token
	const restored = "restored.1000000000"
	get := func(limit time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		_, _, err := s.Get(ctx, "/rollcall/svc/a")
		return err
	}
	// waits makes a call until etcd is not the first to find that the time of the call is over:
	// it then says that the token is wrong, which is dropped.
	waits := func(limit time.Duration) {
		t.Helper()
		for range 10 {
			tok.value, tok.asked = restored, true
			tok.doubted.Store(nil)
			err := get(limit)
			if !tok.asked || tok.value != restored {
				continue
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("etcd does not wait for a change of the future: %v", err)
			}
			return
		}
		t.Fatal("etcd refuses the token each time")
	}
	if waits(patience / 8); tok.doubted.Load() != nil {
		t.Fatal("a call that was given up soon put the token in doubt")
	}
	waits(patience * 3 / 4)
	asked := g.asked.Load()
	if err := get(time.Minute); err != nil {
		t.Fatalf("the token was not replaced: %v", err)
	}
	if n := g.asked.Load() - asked; n != 1 {
		t.Errorf("the password was checked %d times more", n)
	}
}

// TestATokenInDoubtIsKept has an etcd that gives no other token: it may be etcd itself
// that did not answer, because it has lost the others.
func TestATokenInDoubtIsKept(t *testing.T) {
	f := &fake{}
	var asked atomic.Int64
	f.authenticate = func(ctx context.Context) (string, error) {
		if asked.Add(1) == 1 {
			return "good", nil
		}
		<-ctx.Done()
		return "", ctx.Err()
	}
	f.start(t)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Stores{}.Open(t.Context(), dnsd.SharedStore{Endpoints: []string{f.url}, User: "rollcall", PasswordFile: file}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tok := s.(*client).token
	doubted := tok.value
	tok.doubted.Store(&doubted)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, _, err := s.Get(ctx, "/svc/a")
		cancel()
		if err != nil || tok.value != "good" {
			t.Fatalf("%v, the token is %q", err, tok.value)
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("etcd was asked %d times for a token", n)
	}
}

// TestAUserOfAnEtcdWithoutPasswords is what a dnsd has whose etcd is not guarded yet.
func TestAUserOfAnEtcdWithoutPasswords(t *testing.T) {
	g := &guarded{etcd: startEtcd(t), password: filepath.Join(t.TempDir(), "password")}
	g.write(t, "secret")
	must(t, g.open(t, g.asUser), put("/rollcall/svc/head", "x"))
}
