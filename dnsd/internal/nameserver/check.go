package nameserver

// Check says what Listen would refuse before it opens a socket.
func (c Config) Check() error {
	_, err := newSettings(c, [16]byte{})
	return err
}

// Defaults are the settings of a Config that says nothing, for the documents to be
// checked against.
func Defaults() (maxUDP int, r RateLimit, tcp TCPLimits) {
	s, err := newSettings(Config{}, [16]byte{})
	if err != nil {
		panic(err) // the zero value works
	}
	return s.MaxUDP, s.RateLimit, s.TCP
}
