package push

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// updating is a client's connection of TLS 1.3 that writes its own records, and so can ask the
// server for new keys (RFC 8446 section 4.6.3), which package tls does not offer.
type updating struct {
	*tls.Conn // reads
	below     net.Conn
	secret    []byte
	aead      cipher.AEAD
	iv        []byte
	seq       uint64
}

const (
	recordHandshake   = 22
	recordApplication = 23
)

// connectUpdating opens a session of such a client over a pipe.
func connectUpdating(t testing.TB, s *Server) (*client, *updating) {
	t.Helper()
	ours, theirs := pipe(t)
	var keys bytes.Buffer
	conn, to := shake(t, ours, theirs, &tls.Config{MinVersion: tls.VersionTLS13, KeyLogWriter: &keys})
	if suite := conn.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("package tls chooses %s here, and this client has only AES-128", tls.CipherSuiteName(suite))
	}
	u := &updating{Conn: conn, below: ours}
	for line := range strings.Lines(keys.String()) {
		if f := strings.Fields(line); f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(f[2])
			if err != nil {
				t.Fatal(err)
			}
			u.use(secret)
		}
	}
	if u.aead == nil {
		t.Fatalf("no key of the client in %q", keys.String())
	}
	if !s.Serve(to) {
		t.Fatal("no room for a session")
	}
	return newClient(t, u), u
}

// use makes keys of a secret: RFC 8446 section 7.3.
func (u *updating) use(secret []byte) {
	block, err := aes.NewCipher(expand(secret, "key", 16))
	if err != nil {
		panic(err)
	}
	if u.aead, err = cipher.NewGCM(block); err != nil {
		panic(err)
	}
	u.secret, u.iv, u.seq = secret, expand(secret, "iv", u.aead.NonceSize()), 0
}

// expand is HKDF-Expand-Label without a context: RFC 8446 section 7.1.
func expand(secret []byte, label string, size int) []byte {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(size))
	info = append(append(append(info, byte(len(label))), label...), 0)
	out, err := hkdf.Expand(sha256.New, secret, string(info), size)
	if err != nil {
		panic(err)
	}
	return out
}

// record writes a record: RFC 8446 section 5.2.
func (u *updating) record(kind byte, data []byte) error {
	inner := append(bytes.Clone(data), kind)
	head := binary.BigEndian.AppendUint16([]byte{recordApplication, 3, 3}, uint16(len(inner)+u.aead.Overhead()))
	nonce := bytes.Clone(u.iv)
	for i := range 8 {
		nonce[len(nonce)-1-i] ^= byte(u.seq >> (8 * i))
	}
	u.seq++
	_, err := u.below.Write(u.aead.Seal(head, nonce, inner, head))
	return err
}

func (u *updating) Write(p []byte) (int, error) { return len(p), u.record(recordApplication, p) }

// update asks the server for new keys, and has new ones itself.
func (u *updating) update() error {
	const keyUpdate, requested = 24, 1
	err := u.record(recordHandshake, []byte{keyUpdate, 0, 0, 1, requested})
	u.use(expand(u.secret, "traffic upd", len(u.secret)))
	return err
}

// TestNewKeysWhileAClientDoesNotRead: what package tls answers on its own comes between the
// messages of the session, in the order in which it was made.
func TestNewKeysWhileAClientDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := worldAndServer(t)
		c, u := connectUpdating(t, s)
		c.follow(1, "_math._tcp.svc.")
		for i := range 5 {
			w.put("_math._tcp", i)
			synctest.Wait()
			for range 3 {
				if err := u.update(); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		c.knows(1, w, "_math._tcp.svc.")
		if err := u.update(); err != nil { // nothing else waits to be sent
			t.Fatal(err)
		}
		w.put("_math._tcp", 9)
		c.knows(1, w, "_math._tcp.svc.")
	})
}

// TestAClientThatWantsNewKeysAndDoesNotRead: the server keeps a bounded number of answers, then
// reads no more of it, and aborts it.
func TestAClientThatWantsNewKeysAndDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := worldAndServer(t)
		c, u := connectUpdating(t, s)
		c.follow(1, "_math._tcp.svc.")
		ended := make(chan error)
		go func() {
			u.Write([]byte{0xff, 0xff}) // a message that never ends
			for {
				for range 16 { // package tls takes so many in a row
					if err := u.update(); err != nil {
						ended <- err
						return
					}
				}
				u.Write([]byte{0})
			}
		}()
		synctest.Wait()
		all, _ := s.Sessions([]string{"svc."}, 1)
		if len(all) != 1 || all[0].Pending <= mostOut || all[0].Pending > mostOut+1000 {
			t.Fatalf("%+v, want a session for which little more than %d octets wait", all, mostOut)
		}
		w.put("_math._tcp", 1) // waits for no client
		time.Sleep(writeTime + time.Second)
		<-ended
		synctest.Wait()
		if st := s.Stats(); st.Sessions != 0 || st.Aborted != 1 || st.Panics != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestWhatTLSCannotFinishHasATime: a message of TLS that does not end, and a record, have the
// time of a message of DSO.
func TestWhatTLSCannotFinishHasATime(t *testing.T) {
	parts := map[string]func(u *updating) error{
		"a record": func(u *updating) error {
			_, err := u.below.Write([]byte{recordApplication, 3, 3, 0x40, 0})
			return err
		},
		"a message": func(u *updating) error {
			return u.record(recordHandshake, append([]byte{24, 0, 0xff, 0xf0}, make([]byte, 9000)...))
		},
	}
	for name, part := range parts {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, s := worldAndServer(t)
				c, u := connectUpdating(t, s)
				c.follow(1, "_math._tcp.svc.")
				begun := time.Now()
				if err := part(u); err != nil {
					t.Fatal(err)
				}
				c.closed()
				if took := time.Since(begun); took != messageTime {
					t.Errorf("it ended after %v, want %v", took, messageTime)
				}
			})
		})
	}
}
