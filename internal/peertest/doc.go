// Package peertest runs processes beside a test: other programs, such as nsd and
// haproxy, and the test binary itself, for example as a dnsd that can be killed.
//
// # Other programs
//
// [Start] runs one until the test ends. If it is not installed, the test is
// skipped by name; with ROLLCALL_PEERS=1 in the environment it fails. [Need] does
// this before the test sets anything up. Package freeaddr gives the addresses to write
// into a program's configuration.
//
// # The test binary itself
//
// [StartSelf] starts it with variables in its environment. By these TestMain, or the
// test that started it, sees that it has a task. [Main] runs the task:
//
//	func TestMain(m *testing.M) {
//		if path := os.Getenv(storeVar); path != "" {
//			peertest.Main(func(ctx context.Context) error {
//				s, err := dnsd.New(onStore(path))
//				if err != nil {
//					return err
//				}
//				fmt.Println(s.HookURL()) // what Process.Line waits for
//				return s.Run(ctx)
//			})
//		}
//		os.Exit(m.Run())
//	}
//
// Only tests and bench import this package; a test in internal/house checks that.
package peertest
