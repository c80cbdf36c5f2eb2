// Package timeline remembers the last events of a registry, for people: what happened to
// which instance, when, why, and by whom.
//
// A [Timeline] is a sink of the registry. It gets each change with its cause, and each late
// renewal. The hook signs the changes that it made with the name of their sender, and adds
// what is no change, such as the release of the guard. The words are made when the events
// are read, so that a change costs a copy into a ring, and a renewal in time costs nothing.
//
// The timeline is in memory and bounded: the last mostChanges changes, mostLate late renewals,
// and mostNotes others.
// It is this process's: a follower knows what has changed, but neither the sender of a request to
// another dnsd nor the reason of what the writer decided.
package timeline
