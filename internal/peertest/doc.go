// Package peertest runs processes beside a test: programs of other houses, such
// as nsd and haproxy, and the test binary once more, as a dnsd that can be killed.
//
// # Programs of other houses
//
// [Start] runs one until the test ends. If it is not installed, the test is
// skipped by name; with ROLLCALL_PEERS=1 in the environment it fails. [Need] says
// so before anything else is set up, and [FreeAddrs] gives the addresses to write
// into a program's configuration.
//
// # The test binary once more
//
// [StartSelf] starts it with variables in its environment, by which TestMain, or
// the test that started it, sees that it has a task. [Main] is the other side:
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
// Only tests, and the measurements in bench, import this package; a test
// in testenv holds them to it.
package peertest
