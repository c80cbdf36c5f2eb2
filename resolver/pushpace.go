package resolver

import "time"

const (
	// messagePace and octetPace are the time that a client grants to a message of a session, and
	// to an octet of it: 20,000 messages or 4 MB a second. That is more than thousands of
	// services tell which change all the time, and costs less than half a processor.
	messagePace = 50 * time.Microsecond
	octetPace   = 250 * time.Nanosecond
	// paceBurst is how much may come at once: some whole sets of 100,000 instances, of 8 MB each.
	paceBurst = 16 * time.Second
)

// pace slows down the reading of a session in which the server sends without end, by mistake
// or on purpose: it must not take a whole processor of each client. What is not read
// waits at the server, which then tells the difference alone. The zero value is ready.
type pace struct {
	spent time.Duration // granted, and not over yet
	at    time.Time
	told  bool // it is in the log
}

// take notes a message, and returns the time to wait before the next one is read.
func (p *pace) take(now time.Time, octets int) time.Duration {
	if !p.at.IsZero() {
		p.spent = max(0, p.spent-now.Sub(p.at))
	}
	p.at = now
	p.spent += messagePace + time.Duration(octets)*octetPace
	return max(0, p.spent-paceBurst)
}

// slowDown waits, if the server sends without end, before the next message is read: some
// milliseconds at most.
func (s *pushSession) slowDown(octets int) {
	wait := s.pace.take(time.Now(), octets)
	if wait == 0 {
		return
	}
	if !s.pace.told {
		s.pace.told = true
		s.r.log().Warn("resolver: the server sends more than a client can need, and is read slowly from now on", "server", s.server.address)
	}
	time.Sleep(wait)
}

// Tests: pushpace_test.go.
