//go:build unix

package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

func TestSignals(t *testing.T) {
	conf := corefile(t, "svc:0 {\n  hook 127.0.0.1:0\n}\n")
	cmd := exec.Command(os.Args[0], "-conf", conf)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	log := newLines(stderr)
	started := log.await(t, "started")
	if !strings.Contains(started, "zone svc. on 127.0.0.1:") || !strings.Contains(started, "hook http://127.0.0.1:") {
		t.Errorf("the line at the start does not say what is served where: %s", started)
	}

	write(t, conf, "svc:0 {\n  hook 127.0.0.1:0\n  hostmaster admin.svc.\n}\n")
	cmd.Process.Signal(syscall.SIGHUP)
	log.await(t, "reloaded")
	write(t, conf, "svc:0 {\n  hoook\n}\n")
	cmd.Process.Signal(syscall.SIGUSR1)
	if line := log.await(t, "reload failed"); !strings.Contains(line, "Corefile:2") {
		t.Errorf("a failed reload does not say where: %s", line)
	}

	cmd.Process.Signal(syscall.SIGTERM)
	log.await(t, "stopped")
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}
