// Package measure has what the measurements share that start other programs: [GoTool] builds
// them, [Await] waits until they answer, [Rate] is many clients at once, and [Median] is the
// round that counts.
//
// Only the measurements under bench import it.
package measure
