// Package cli is a command line with commands below it, as data: an [App] is a table of
// commands, and everything about the command line comes from the table. Main reads the
// arguments, runs one command, and returns the exit status. A command declares its flags
// on a flag.FlagSet when it is made, so help cannot differ from what is read.
//
// Flags may come before and after the arguments. After "--" nothing is a flag. A flag
// whose value is empty is a mistake: a variable of the shell that is not set must not
// choose a default. An unknown command or flag is answered with the nearest one.
//
// The exit status is one of [Done], [Failed], [Usage] and [NotFound], or the one that a
// command gives by [Exit].
package cli
