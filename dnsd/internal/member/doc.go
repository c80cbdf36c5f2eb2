// Package member is one dnsd's part in a cluster: several dnsd that share one registry
// through a store, a [kv.Store]. One member is the writer, by election. Its registry
// decides everything. The others follow: they have every change in memory, in the same
// order, with the same revisions.
//
// A dnsd opens its registry with registry.Config.Follow, makes a [Member] with [New], and
// runs it with [Member.Run]. Run makes the registry lead and follow. Package peer passes
// writes on to the writer, by [Member.Writer] and [Member.Changed].
//
// This page is the protocol. Whoever changes it changes the format number, or every member
// of a running cluster at once.
//
// # Keys
//
// All keys are below a prefix P, and all values are JSON. A reader leaves fields alone that
// it does not know. What a reader must know has a new format number: then older members
// write nothing more, and serve on what they have.
//
//	P/head               the state: life, revision, and the last commit
//	P/i/_math._tcp/a1    an instance, a registry.Record; deleted with the instance
//	P/f/_math._tcp/a1    what is remembered of an instance that was removed, a fence
//	P/spare/0000 ...     1000 small keys, for removals from a full store
//	P/member/1F2E        a member, by its lease: {"name","address","hook","certificate","version","knows","life"}
//	P/meta               {"format","zone","settings"}: what the prefix is for
//
// The head contains the commit that put it: every change in order, with its revision and
// time. A follower applies heads and ignores the keys of instances. A load reads those,
// and ignores the commit.
//
// # Election
//
// Each member has a key with a lease, its session. The one whose key is the oldest is the
// writer. A member that cannot lead, because it cannot read the store or has resigned, has
// no key, so it is in no other's way. The keys exist before they are needed, because a
// full store takes no new ones.
//
// Before it leads, a member reads, in this order, the members, the head and the spare keys,
// linearizably. Once its key is the oldest, no other can change anything below P, so what
// it read stays true. It waits until its registry has all of that.
//
// # A commit
//
// A commit is one transaction. It is done only if
//
//   - the key of the writer was created at the revision that the writer knows,
//   - the head was not changed since the writer's last transaction, and
//   - the highest spare key was not deleted since.
//
// It puts and deletes keys of instances and fences, and puts the head. So a batch is
// stored as a whole, and every state of the store is complete: nothing has to be repaired
// after a crash. A batch that does not fit into a transaction is divided into several
// commits. If a later one fails, the outcome is unknown to the callers, and the term ends.
//
// When the outcome of a transaction is unknown, the same transaction is sent again. Each
// copy makes its own conditions false, so at most one is done. If a copy finds them false,
// the head says whether it was an earlier copy: its value is the one that was sent. If
// nothing can be learned, the callers hear registry.ErrUncertain, the term ends, and the
// key of the member is deleted. A copy that is still under way can then never be done. If
// the store is full by then, the highest spare key is deleted instead, because a full store
// would give the member no other key. That uses up a revision, and the member leads again.
//
// etcd may do a transaction and say that there is no space. So after ErrNoSpace the head
// is read, too.
//
// # A full store
//
// A full store takes deletes. A removal then is a transaction that deletes the instance and
// one spare key, the highest. The head cannot be put, so
//
//	revision = head.revision + (head.spares - number of spare keys)
//
// A follower that sees as many instances as spare keys deleted at one revision of the
// store, and no head, applies one removal for each, in their order. A spare key that was
// deleted by hand uses up a revision, too. The fences that they
// leave cannot be stored. Every member that saw the removals owes them. The writer puts
// them, and the spare keys, when there is space again. If all members end before that, they
// are lost: an older process may register under such a name.
//
// # What a crash leaves
//
//	the process dies                       it leaves                          what follows
//	before a transaction arrives           nothing                            the next writer
//	after it was done, before the answer   the commit; no one was told        every member has it, and the next writer goes on from it
//	between two parts of a batch           the first parts, complete          the same
//	between removals without space         some removals, complete            the same; their fences are owed
//	before the spare keys are all put      fewer spare keys, counted          the next writer puts the rest
//	after the head of a new life           the life                           the next writer continues it if it saw it begin, or begins another
//	while a lost store is written back     some keys, and the head as it was  the next writer that has the content in memory writes again
//	after it put the key of its session    the key, until the lease ends      the others wait for that, or prove the death
//
// # Lives
//
// Revisions of one life are never given out twice, and a new life begins above all that
// were seen, by 1<<20. A new writer continues the life of the one before only if it has
// seen a writer of it alive, after it had loaded the store. So the writer puts the head
// once more when a member joins. Otherwise the store may be an old copy that was put back
// while no member ran, and revisions would get a second meaning.
//
// A new life is right then, and costs much: every watch begins again, and every secondary
// transfers everything. So the key of each member says of which life it has seen a writer
// alive. A member that has not, and whose key is the oldest, gives its key back once if
// another such is listed, so that one goes on with the life. If one was listed and is not
// any more, it is waited for, for a session: in a full store, or one that was cut off from
// all, members may get their keys in any order.
//
// A store is not what it was if its data have another identity, if its revision or its
// head is older than what was seen, or if the head is gone. Each member looks at the head
// every second and whenever it begins to watch. The writer looks at the keys of the members,
// too, so that it does not lead on without its key if its watch is stuck. Whoever notices keeps what it has in
// memory and becomes a candidate again. If the next writer has more than the store, it
// makes the keys of the store what its registry has, in transactions that do not touch the
// head, and then puts a head of a new life. Followers load it; their watches end with
// ErrCompacted. A member that has more than the store, and sees another put a head that
// goes on from less, begins a new life by putting the head; without such a head, it does
// so after three sessions. What it alone knew is lost then; the revisions are not repeated.
//
// The local copy of a member (Config.Copy) is never written back. It is what a dnsd serves
// that starts while the store is away, and its revision counts for new lives.
//
// # Rules that always hold
//
//   - What was acknowledged is durable, and in every later state.
//   - One revision is one change, without gaps, and the same for every member.
//   - Nothing is published before its transaction is known to be done.
//   - A member whose session may be over acknowledges nothing, not even renewals. The
//     session is counted from when the last request was sent that prolonged it, by the
//     monotonic clock and by the clock on the wall.
//   - Two members never both commit.
//   - A follower applies everything in order and once.
//   - A change of writer loses nothing and expires nothing: every lease begins again.
//   - While the store is away, DNS goes on from memory, nothing expires, and nothing is
//     written.
//   - Revisions are not repeated, also after the store was restored, emptied or made again.
//   - A value that cannot be read is never taken for an absent one.
//   - Every wait, queue and value is bounded. Everything ends with the context of Run.
//
// # When the writer dies
//
// Another leads when the session is over. It leads at once if the host of the writer
// refuses two connections to its address within some milliseconds: then a candidate
// deletes its key. Only an address counts that has accepted a connection before. The same
// is done by a process that has the name and the address of a member that is listed: it is
// its successor. Deleting a key is always safe, because every commit needs it.
package member
