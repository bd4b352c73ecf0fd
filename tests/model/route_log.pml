// route_log.pml - the protocol of cluster/route_log.c and route_replica.c: one owner, one replica, a link.
//
// The owner changes its routes, restarts with a new incarnation, forgets changes that its ring has no room
// for. The link is cut at any moment, with all that is in it. Checked: when nothing is left to do, the
// replica has the owner's routes; a route that is there all the time never goes away at the replica; no
// snapshot is broken; nobody asks to begin anew for ever.
//
// With one of the BUG_ names defined, the model has that bug, and the check has to fail (run.py).

#define CHANGES  4 // of keys 1 and 2, in all lives
#define RESTARTS 1
#define CUTS     2
#define RING     2 // changes that the owner remembers
#define KEYS     3 // key 0 is always there
#define ASKED    8 // times that a replica may have to say where it is

mtype = { BEGIN, ENTRY, CHANGE, END };

// What is under way: step, incarnation, seq, key, there, routes (what the digest of END stands for).
chan link = [2] of { mtype, byte, byte, byte, bool, byte };
chan hello = [1] of { byte, byte }; // incarnation, applied
bool linked = false;

byte incarnation = 1, seq = 1, routes = 1; // the owner: key 0 was its first change
byte oldest = 1;
byte ring_key[RING];
bool ring_on[RING];
byte changes = 0, restarts = 0, cuts = 0, asked = 0;

bool reading = false, snapshot = false; // the reader of the replica's link
byte next = 0, place = 0;

byte live_incarnation = 0, live_applied = 0, live_routes = 0;
byte coming_incarnation = 0, coming_applied = 0, coming_routes = 0;
bool had = false; // key 0 was at the replica

#define THERE(set, key)    (((set) >> (key)) & 1)
#define WITH(set, key, on) ((on) -> ((set) | (1 << (key))) : ((set) & ~(1 << (key))))

inline cut()
{
#ifndef BUG_OLD_LINK_HEARD
    do
    :: link ? _, _, _, _, _, _
    :: empty(link) -> break
    od;
#endif
    do
    :: hello ? _, _
    :: empty(hello) -> break
    od;
    linked = false;
    reading = false
}

inline remember(key, on)
{
    seq++;
    ring_key[seq % RING] = key;
    ring_on[seq % RING] = on;
    if
    :: seq >= oldest + RING -> oldest++
    :: else
    fi
}

inline reader_begin(their_incarnation, applied)
{
    reading = true;
    snapshot = false;
    place = 0;
    if
#ifdef BUG_INCARNATION_IGNORED
    :: applied <= seq && applied + 1 >= oldest -> next = applied + 1
#elif defined(BUG_RING_OVERFLOW)
    :: their_incarnation == incarnation && applied <= seq ->
        next = (applied + 1 >= oldest -> applied + 1 : oldest)
#else
    :: their_incarnation == incarnation && applied <= seq && applied + 1 >= oldest ->
        next = applied + 1
#endif
    :: else -> next = 0
    fi
}

// One step of route_reader_next.
inline tell()
{
    if
    :: next == 0 || next < oldest ->
        snapshot = true;
        place = 0;
        next = seq + 1;
        link ! BEGIN, incarnation, seq, 0, 0, 0
    :: else ->
        if
        :: snapshot && place < KEYS ->
            if
            :: THERE(routes, place) -> link ! ENTRY, incarnation, 0, place, 1, 0
            :: else
            fi;
            place++
        :: else ->
            if
#ifdef BUG_CHANGES_LOST
            :: snapshot ->
                next = seq + 1;
                snapshot = false;
                link ! END, incarnation, seq, 0, 0, routes
#endif
            :: next <= seq ->
                link ! CHANGE, incarnation, next, ring_key[next % RING], ring_on[next % RING], 0;
                next++
#ifndef BUG_CHANGES_LOST
            :: next > seq && snapshot ->
                snapshot = false;
                link ! END, incarnation, seq, 0, 0, routes
#endif
            fi
        fi
    fi
}

#define MORE (reading && linked && nfull(link) && (next <= seq || snapshot))

active proctype Owner()
{
    byte i, a;
    do
    :: atomic { changes < CHANGES ->
            changes++;
            if
            :: i = 1
            :: i = 2
            fi;
            routes = routes ^ (1 << i);
            remember(i, THERE(routes, i))
        }
    :: atomic { restarts < RESTARTS ->
            restarts++;
            cut();
            incarnation++;
            seq = 0;
            oldest = 1;
            routes = 1;
            remember(0, true)
        }
    :: atomic { cuts < CUTS && linked -> cuts++; cut() }
    :: atomic { hello ? i, a -> reader_begin(i, a) }
    :: atomic { MORE -> tell() }
    od
}

inline ask_again()
{
    cut();
    asked++;
    assert(asked < ASKED)
}

inline take_change(n, key, on)
{
    if
    :: coming_incarnation != 0 ->
        if
        :: m_incarnation != coming_incarnation || n > coming_applied + 1 -> ask_again()
        :: else ->
            if
            :: n == coming_applied + 1 ->
                coming_routes = WITH(coming_routes, key, on);
                coming_applied = n
            :: else
            fi
        fi
    :: else ->
        if
        :: m_incarnation != live_incarnation || n > live_applied + 1 ->
#ifdef BUG_INCARNATION_IGNORED
            live_routes = WITH(live_routes, key, on);
            live_applied = n
#else
            ask_again()
#endif
        :: else ->
            if
            :: n == live_applied + 1 ->
                live_routes = WITH(live_routes, key, on);
                live_applied = n
            :: else
            fi
        fi
    fi
}

inline take_end(n, set)
{
    assert(coming_incarnation == m_incarnation);
    assert(coming_applied == n && coming_routes == set); // else it is broken, and not this protocol
    live_incarnation = coming_incarnation;
    live_applied = coming_applied;
    live_routes = coming_routes;
    coming_incarnation = 0
}

active proctype Replica()
{
    mtype step;
    byte m_incarnation, n, key, set;
    bool on;
    do
    :: atomic { !linked ->
            coming_incarnation = 0;
            linked = true;
            hello ! live_incarnation, live_applied
        }
    :: atomic { link ? step, m_incarnation, n, key, on, set ->
            if
            :: step == BEGIN ->
                coming_incarnation = m_incarnation;
                coming_applied = n;
                coming_routes = 0;
#ifdef BUG_SWAPPED_EARLY
                live_routes = 0
#endif
            :: step == ENTRY -> coming_routes = WITH(coming_routes, key, 1)
            :: step == CHANGE -> take_change(n, key, on)
            :: step == END -> take_end(n, set)
            fi;
            if
            :: THERE(live_routes, 0) -> had = true
            :: else -> assert(!had) // it is there all the time
            fi;
            assert(live_incarnation <= incarnation)
        }
    od
}

active proctype Rest()
{
end:
    timeout -> assert(live_incarnation == incarnation && live_applied == seq && live_routes == routes)
}
