package hook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rollcall-dns/rollcall/internal/nearest"
	"github.com/rollcall-dns/rollcall/register"
)

// maxBody bounds every request body: a batch renewal of 2,000 keys fits, and so does a
// registration with more meta than a TXT record can hold.
const maxBody = 64 << 10

// readBody reads the whole body within the limit of size and time.
func (x *exchange) readBody() ([]byte, error) {
	if enc := x.r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, refuse(http.StatusUnsupportedMediaType, "", "the body has Content-Encoding %q: send it without one", enc)
	}
	control := http.NewResponseController(x.w)
	// Some writers have no deadlines (a recorder in a test).
	_ = control.SetReadDeadline(time.Now().Add(x.s.times.body))
	body, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, refuse(http.StatusRequestEntityTooLarge, "", "the body is larger than %d bytes: split the request, or shorten meta", maxBody)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refuse(http.StatusRequestTimeout, "", "the body did not arrive within %v: send it faster, or in smaller requests", x.s.times.body).with("Connection", "close")
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "", "the body is incomplete: %v; send it again", err).with("Connection", "close")
	}
	// From here on net/http reads ahead, to see the end of the connection: a deadline
	// would look like one.
	_ = control.SetReadDeadline(time.Time{})
	if len(body) > 0 {
		if err := checkContentType(x.r.Header.Get("Content-Type")); err != nil {
			return nil, err
		}
	}
	return body, nil
}

// checkContentType refuses a body whose type is not JSON. The type that curl sends with
// -d is accepted: no client sends a form here, and web pages of other origins are
// refused by their Origin, not by this header.
func checkContentType(value string) error {
	if value == "" || value == "application/x-www-form-urlencoded" {
		return nil
	}
	media, params, err := mime.ParseMediaType(value)
	if err == nil && media == "application/json" {
		if cs, ok := params["charset"]; !ok || strings.EqualFold(cs, "utf-8") {
			return nil
		}
	}
	return refuse(http.StatusUnsupportedMediaType, "",
		"the body is %q: send application/json in UTF-8 (curl --json, or -H 'Content-Type: application/json')", value).
		with("Accept", "application/json")
}

// member is one name of a JSON object, where its value goes, and what the value must
// be, for the error.
type member struct {
	name string
	dst  any
	want string
}

func registrationMembers(reg *register.Registration) []member {
	const number = "a whole number from 0 to 65535"
	return []member{
		{"host", &reg.Host, "text: an IP address or a full domain name"},
		{"port", &reg.Port, "a whole number from 1 to 65535"},
		{"priority", &reg.Priority, number},
		{"weight", &reg.Weight, number},
		{"ttl", &reg.TTL, `text with a unit, such as "5s"`},
		{"lease", &reg.Lease, `text with a unit, such as "15s"`},
		{"meta", (*metaValue)(&reg.Meta), `an object of texts, such as {"version":"1.2"}`},
		{"incarnation", &reg.Incarnation, "a whole number, at least 0"},
		{"drain", &reg.Drain, "true or false"},
	}
}

// decodeRegistration reads the body of a PUT.
func decodeRegistration(body []byte) (register.Registration, error) {
	var reg register.Registration
	seen, err := decodeObject(body, registrationMembers(&reg))
	if err != nil {
		return register.Registration{}, err
	}
	if !seen["port"] {
		return register.Registration{}, refuse(http.StatusBadRequest, "port", `port is missing: give the port on which the instance listens, such as {"port":8080}`)
	}
	// Zero means the default in the registry. In a request it is a mistake: no lease and
	// no record can have zero seconds.
	for _, d := range []struct {
		name  string
		value register.Duration
	}{{"ttl", reg.TTL}, {"lease", reg.Lease}} {
		if seen[d.name] && d.value <= 0 {
			return register.Registration{}, refuse(http.StatusBadRequest, d.name, "%s is %v: give more than zero, or leave it out for the default", d.name, d.value)
		}
	}
	return reg, nil
}

// decodeRenewal reads the body of POST /v1/renew.
func decodeRenewal(body []byte) (register.RenewRequest, error) {
	var req register.RenewRequest
	seen, err := decodeObject(body, []member{
		{"instances", &req.Instances, `a list of texts, such as ["_math._tcp/a1"]`},
	})
	if err != nil {
		return register.RenewRequest{}, err
	}
	if !seen["instances"] {
		return register.RenewRequest{}, refuse(http.StatusBadRequest, "instances", `instances is missing: {"instances":["_math._tcp/a1"]}`)
	}
	return req, nil
}

// decodeObject reads one JSON object strictly, and returns the names in it.
// encoding/json accepts unknown and repeated names, other cases ("Port"), null and data
// after the object; with each of them a registration does not mean what its author
// thinks.
func decodeObject(body []byte, members []member) (map[string]bool, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, refuse(http.StatusBadRequest, "", "the body is empty: send a JSON object with %s", names(members))
	}
	if !utf8.Valid(body) {
		return nil, refuse(http.StatusBadRequest, "", "the body is not UTF-8 (RFC 8259 section 8.1)")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil { // the syntax to the last byte
		return nil, refuse(http.StatusBadRequest, "", "the body is not one JSON value: %s", syntaxDetail(body, err))
	}
	seen := make(map[string]bool, len(members))
	err := eachMember(whole, func(name string, value json.RawMessage) error {
		var m *member
		for i := range members {
			if members[i].name == name {
				m = &members[i]
			}
		}
		switch {
		case m == nil:
			return refuse(http.StatusBadRequest, name, "unknown field %.64q: %sthe fields are %s", name, meant(name, names(members)), strings.Join(names(members), ", "))
		case seen[name]:
			return refuse(http.StatusBadRequest, name, "%s is given twice: give it once", name)
		case string(value) == "null":
			return refuse(http.StatusBadRequest, name, "%s is null: give %s, or leave it out", name, m.want)
		}
		seen[name] = true
		if err := json.Unmarshal(value, m.dst); err != nil {
			var p *problem
			if errors.As(err, &p) {
				return p
			}
			return refuse(http.StatusBadRequest, name, "%s is %s: give %s", name, excerpt(value), m.want)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return seen, nil
}

// eachMember calls f for each member of the object in valid JSON, in order. It only
// finds where they begin and end, without an allocation: json.Decoder took half of the
// time of a whole PUT. encoding/json/v2 refuses repeated and unknown names itself and
// will replace this; we wait until it is part of Go without GOEXPERIMENT.
func eachMember(valid []byte, f func(name string, value json.RawMessage) error) error {
	rest := bytes.TrimLeft(valid, space)
	if len(rest) == 0 || rest[0] != '{' {
		return refuse(http.StatusBadRequest, "", "the body is %s: send a JSON object", excerpt(rest))
	}
	rest = bytes.TrimLeft(rest[1:], space)
	for len(rest) > 0 && rest[0] != '}' {
		var quoted, value []byte
		quoted, rest = cutValue(rest)
		rest = bytes.TrimLeft(rest, space+":")
		value, rest = cutValue(rest)
		rest = bytes.TrimLeft(rest, space+",")
		var name string
		if bytes.IndexByte(quoted, '\\') < 0 && len(quoted) >= 2 {
			name = string(quoted[1 : len(quoted)-1])
		} else if err := json.Unmarshal(quoted, &name); err != nil {
			return err
		}
		if err := f(name, value); err != nil {
			return err
		}
	}
	return nil
}

const space = " \t\r\n" // RFC 8259 section 2

// cutValue splits off the first value of valid JSON.
func cutValue(b []byte) (value, rest []byte) {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		default:
			if depth == 0 { // a number or a word: up to what may follow it
				if n := bytes.IndexAny(b, space+",]}"); n >= 0 {
					return b[:n], b[n:]
				}
				return b, nil
			}
			continue
		}
		if depth == 0 {
			end := min(i+1, len(b))
			return b[:end], b[end:]
		}
	}
	return b, nil
}

// metaValue reads the meta object: texts only, each name once.
type metaValue map[string]string

func (m *metaValue) UnmarshalJSON(data []byte) error {
	if len(data) == 0 || data[0] != '{' {
		return fmt.Errorf("hook: meta is no object")
	}
	out := make(map[string]string)
	err := eachMember(data, func(name string, value json.RawMessage) error {
		field := "meta." + name
		if _, twice := out[name]; twice {
			return refuse(http.StatusBadRequest, field, "meta has %.64q twice: give it once", name)
		}
		if value[0] != '"' {
			return refuse(http.StatusBadRequest, field, "meta %.64q is %s: give text, in quotes", name, excerpt(value))
		}
		var text string
		if err := json.Unmarshal(value, &text); err != nil {
			return err
		}
		out[name] = text
		return nil
	})
	if err != nil {
		return err
	}
	*m = out
	return nil
}

func names(members []member) []string {
	list := make([]string, len(members))
	for i, m := range members {
		list[i] = m.name
	}
	return list
}

// meant asks for the word of known that was probably meant by an unknown one.
func meant(word string, known []string) string {
	if near, ok := nearest.Word(word, known); ok {
		return fmt.Sprintf("did you mean %q? ", near)
	}
	return ""
}

// excerpt shows a value of the request, short enough for one line.
func excerpt(value []byte) string {
	const most = 40
	if len(value) <= most {
		return string(value)
	}
	cut := value[:most]
	for len(cut) > 0 && !utf8.Valid(cut) {
		cut = cut[:len(cut)-1]
	}
	return string(cut) + "..."
}

func syntaxDetail(body []byte, err error) string {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err.Error()
	}
	at := min(int(syntax.Offset), len(body))
	line := 1 + bytes.Count(body[:at], []byte{'\n'})
	column := at - (bytes.LastIndexByte(body[:at], '\n') + 1)
	return fmt.Sprintf("line %d, column %d: %s", line, column, syntax.Error())
}
