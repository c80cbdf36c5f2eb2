// Package hook is a client of dnsd's HTTP API (docs/http-api.md) for a person at a
// terminal. It asks the first hook of its list that answers, once, and its errors say
// what to do: start dnsd, give another URL, a token, a certificate.
//
// Package register, which keeps a registration alive, tries again for as long as it
// takes. A command must end.
package hook
