// Package gobvalue reads and writes values of gob beside encoding/gob, byte for byte as
// that does, and guards encoding/gob against values that it would not survive.
//
// A gob stream is a sequence of messages, each a length and then either a negative
// type id and the definition of that type, or a type id and a value (encoding/gob,
// "Encoding Details").
//
// encoding/gob stays in charge: it sees every definition, the first value of every
// type, and every value that is not known here, so that every error is its own. Beside
// it, [Encoder] and [Decoder] do values that are made of basic types, structs, slices,
// arrays, maps and pointers. encoding/gob copies each message once more than needed in
// each direction, and takes several times as long. Types with an encoding of their own,
// interfaces and recursive types are left to it.
//
// [Guard] reads over each value before encoding/gob decodes it. [AppendUint], [ReadUint]
// and their like are the integers of which all is made.
package gobvalue
