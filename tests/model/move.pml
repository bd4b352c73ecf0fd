// move.pml - how one session goes from node A to node B while P and B publish: the protocol of cluster/turn.c,
// move_out.c, move_in.c and core/session_move.h.
//
// P and B have clients that publish at QoS 2; those of A have gone, so A's own turn is not here, and neither is the
// end of the move. Each node crashes once, at any moment, and forgets what is not on its disk.
//
// What a node has for another one is a row of messages, of which the other one has read so many; a word among them is
// where it stands in that row. A message that was read and is not safe is read again after a crash: that is here a
// message that was not read yet. But words are acknowledged when they have come, so a crash loses those that were
// read, also behind such messages, and what came of them, while later ones still come. Words from A to B may be on A's
// disk, and come when A has begun anew.
//
// Checked: at each moment one of the two has the session on its disk; in the end B has it and A has not, with each
// message once and in its publisher's order; and it always ends.
//
// With one of the BUG_ names defined, the model has that bug, and the check has to fail (run.py).

#define FROM_P 2 // messages, of numbers 1 and 2
#define FROM_B 1 // of number 3

mtype = { BEGINS, READY, TURNS, MOVES, BEGIN, ENTRY, LAST };

// ---- Queues: three bits for a message, the first the lowest

#define LEN(q) ((q) == 0 -> 0 : ((q) < 8 -> 1 : ((q) < 64 -> 2 : ((q) < 512 -> 3 : ((q) < 4096 -> 4 : \
    ((q) < 32768 -> 5 : ((q) < 262144 -> 6 : 7)))))))
#define AT(q, i)        (((q) >> (3 * (i))) & 7)
#define FIRST(q, n)     ((q) & ((1 << (3 * (n))) - 1))
#define BEHIND(q, more) ((q) | ((more) << (3 * LEN(q))))
#define HAS(set, i)     (((set) >> (i)) & 1)
#define LOWEST(set)     ((set) & 1 -> 0 : ((set) & 2 -> 1 : 2))

// ---- P

byte p_count;                 // messages, which others get once they are safe
byte p_for_a, p_for_b, p_to_b; // of those that the other one has not read: without the number, with it; B gets it
bool p_turned, p_turned_safe; // its shards have, and its disk says so
bool p_knows;                 // B's routes, on its disk
bool p_crashed;
byte p_word_a, p_word_b; // TURNED waits for the other one behind so many messages less one; 0: it does not

// ---- A

mtype a_phase = BEGINS;
bool a_here = true, a_here_safe = true; // the session
int a_queue;
bool a_p_turned, a_b_turned; // heard
bool a_asked_p, a_asked_b;   // in this phase
byte a_sent;
bool a_crashed, a_anew;                      // a link has come up anew
bool a_linked = true;                        // to B
chan a_words = [1] of { mtype, byte, byte }; // to B: ENTRY has its place and the message, LAST how many there are

// ---- B

bool b_hidden, b_hidden_safe;     // its parts are there
bool b_shown, b_shown_safe;       // the session, which has both parts; they are put together when that is safe
int b_queue;                      // what came from A; in the end, all
byte b_safe, b_tail, b_tail_safe; // entries of A's that are on the disk; the place behind the last one
int b_arrivals;                   // what came here
byte b_read;                      // messages of P's
byte b_count, b_for_a;            // of its clients
bool b_turned;
bool b_p_turned; // heard
bool b_wanted;   // A waits for READY
bool b_last;     // all of A's entries are here
bool b_crashed;
byte b_word_a;             // as p_word_a
bool b_ready_a, b_claim_a; // on their way to A

// ---- P: publishes, turns

inline p_say_turned()
{
    p_word_a = (p_word_a == 0 && a_here_safe -> p_count + 1 : p_word_a);
    p_word_b = (p_word_b == 0 -> p_count + 1 : p_word_b)
}

// TURN has come, and its setting is safe: until then it is as if it had not come.
inline p_turn()
{
#ifndef BUG_TURNED_BEFORE_SAFE
    p_turned_safe = true;
#endif
    p_turned = true;
    p_say_turned()
}

active proctype P()
{
    do
    :: atomic { p_count < FROM_P ->
            p_for_a = p_for_a | ((a_here_safe && !p_turned) << p_count);
            p_for_b = p_for_b | (p_turned << p_count);
            p_to_b = p_to_b | (p_knows << p_count);
            p_count++
        }
    :: atomic { !p_knows && (b_hidden || b_shown) -> p_knows = true }
#ifdef BUG_TURNED_BEFORE_SAFE
    :: atomic { p_turned && !p_turned_safe -> p_turned_safe = true }
#endif
    :: atomic { !p_crashed && a_here_safe ->
            p_crashed = true;
            p_turned = p_turned_safe;
            p_word_a = 0;
            p_word_b = 0;
            a_anew = a_here;
            if
            :: p_turned -> p_say_turned()
            :: else
            fi
        }
    od
}

// ---- A: gives the session up

inline b_say_turned()
{
    b_word_a = (b_word_a == 0 && a_here_safe -> b_count + 1 : b_word_a)
}

inline b_turn()
{
    b_turned = true;
    b_say_turned()
}

inline a_forget()
{
    a_p_turned = false;
    a_b_turned = false
}

inline a_begin_anew()
{
    a_phase = BEGINS;
    a_anew = false;
    a_linked = true;
    a_asked_p = false;
    a_asked_b = false;
    a_sent = 0
}

#ifdef BUG_SENT_EARLY
#define A_HEARD_P true
#else
#define A_HEARD_P a_p_turned
#endif
// What A has heard is from before B's crash, or was said before that and came after it: B has forgotten it. So A asks
// all in each life of its links, whatever it has heard.
#ifdef BUG_OLD_ANSWER
#define BUG_NOT_ASKED_AGAIN
#endif
#ifdef BUG_NOT_ASKED_AGAIN
#define A_ASKS_P (!a_asked_p && !a_p_turned)
#define A_ASKS_B (A_HEARD_P && !a_asked_b && !a_b_turned)
#define A_ASKED  true
#else
#define A_ASKS_P (!a_asked_p)
#define A_ASKS_B (A_HEARD_P && a_asked_p && !a_asked_b)
#define A_ASKED  a_asked_b
#endif

active proctype A()
{
    do
    // What comes from P, in its order.
    :: atomic { a_here && p_for_a != 0 && (p_word_a == 0 || p_word_a - 1 > LOWEST(p_for_a)) ->
            a_queue = BEHIND(a_queue, LOWEST(p_for_a) + 1);
            p_for_a = p_for_a & (p_for_a - 1)
        }
    :: atomic { a_here && p_word_a != 0 && (p_for_a == 0 || p_word_a - 1 <= LOWEST(p_for_a)) ->
            p_word_a = 0;
            a_p_turned = true
        }
    // And from B.
    :: atomic { a_here && b_for_a != 0 && (b_word_a == 0 || b_word_a - 1 > LOWEST(b_for_a)) ->
            a_queue = BEHIND(a_queue, LOWEST(b_for_a) + 1 + FROM_P);
            b_for_a = b_for_a & (b_for_a - 1)
        }
    :: atomic { a_here && b_word_a != 0 && (b_for_a == 0 || b_word_a - 1 <= LOWEST(b_for_a)) ->
            b_word_a = 0;
            a_b_turned = true
        }
    :: atomic { b_ready_a ->
            b_ready_a = false;
            if
            :: a_here && a_phase == READY -> a_phase = TURNS
            :: else
            fi
        }
    :: atomic { b_claim_a ->
            b_claim_a = false;
            if
            :: a_here ->
                a_here = false;
                a_begin_anew();
                a_forget()
            :: else
            fi
        }
    // The phases.
    :: atomic { a_here && a_anew ->
            a_begin_anew();
#ifdef BUG_OLD_ANSWER
            a_forget()
#endif
        }
    :: atomic { a_here && !a_anew && a_phase == BEGINS && nfull(a_words) ->
            a_words ! BEGIN, 0, 0;
            a_phase = READY
        }
    :: atomic { a_here && !a_anew && a_phase == TURNS && A_ASKS_P -> a_asked_p = true; p_turn() }
    :: atomic { a_here && !a_anew && a_phase == TURNS && A_ASKS_B -> a_asked_b = true; b_turn() }
    :: atomic { a_here && a_phase == TURNS && A_ASKED && A_HEARD_P && a_b_turned -> a_phase = MOVES }
    :: atomic { a_here && !a_anew && a_phase == MOVES && nfull(a_words) && a_sent <= LEN(a_queue) ->
            if
            :: a_sent < LEN(a_queue) -> a_words ! ENTRY, a_sent, AT(a_queue, a_sent)
            :: else -> a_words ! LAST, a_sent, 0
            fi;
            a_sent++
        }
    :: atomic { !a_here && a_here_safe ->
            a_here_safe = false;
            a_queue = 0;
            p_for_a = 0;
            b_for_a = 0;
            p_word_a = 0;
            b_word_a = 0;
            assert(b_shown_safe)
        }
    :: atomic { !a_crashed && a_here_safe ->
            a_crashed = true;
            a_here = true;
            a_begin_anew();
            a_forget();
            if
            :: p_word_a != 0 || b_word_a != 0 -> p_word_a = 0; b_word_a = 0
            :: true
            fi;
            if
            :: nempty(a_words) -> a_words ? _, _, _
            :: true // they were on the disk
            fi;
            b_claim_a = b_claim_a || b_shown_safe // as over each new link
        }
    od
}

// ---- B: gets it

inline b_take(message, turned)
{
    if
    :: b_shown -> b_queue = BEHIND(b_queue, message)
    :: b_hidden && (turned) -> b_arrivals = BEHIND(b_arrivals, message)
    :: else
    fi
}

inline b_begin()
{
    if
#ifdef BUG_CLAIM_TOLD_UNSAFE
    :: b_shown -> b_claim_a = true
#else
    :: b_shown -> b_claim_a = b_claim_a || b_shown_safe
#endif
    :: else -> b_hidden = true; b_wanted = true
    fi
}

#ifdef BUG_GAP
#define B_FOLLOWS (place >= b_tail)
#else
#define B_FOLLOWS (place == b_tail)
#endif
#ifdef BUG_LAST_OF_BEFORE
#define B_IS_LAST true
#else
#define B_IS_LAST (place == b_tail)
#endif

inline b_hear()
{
    if
    :: kind == BEGIN -> b_begin()
    :: kind == ENTRY && b_hidden && B_FOLLOWS ->
        b_queue = BEHIND(b_queue, message);
        b_tail = place + 1
    :: kind == LAST && b_hidden && B_IS_LAST -> b_last = true
    :: else
    fi
}

inline b_sync()
{
    b_hidden_safe = b_hidden;
    if
    :: b_shown ->
#ifdef BUG_ARRIVALS_FIRST
        b_queue = BEHIND(b_arrivals, b_queue);
#else
        b_queue = BEHIND(b_queue, b_arrivals);
#endif
        b_arrivals = 0;
        b_safe = 0;
        b_tail = 0;
        b_claim_a = true;
        b_shown_safe = true
    :: else -> b_safe = LEN(b_queue)
    fi;
    b_tail_safe = b_tail
}

inline b_crash()
{
    b_hidden = b_hidden_safe;
    b_shown = b_shown_safe;
    if
    :: b_shown
    :: else -> b_queue = FIRST(b_queue, b_safe)
    fi;
    b_tail = b_tail_safe;
    b_p_turned = false;
    b_wanted = false;
    b_last = false;
    b_word_a = 0;
    if
    :: p_word_b != 0 -> p_word_b = 0
    :: true
    fi;
    p_knows = p_knows && (b_hidden || b_shown); // the new link tells all routes
    b_ready_a = false;
    b_claim_a = b_shown;
    a_anew = a_here;
    a_linked = !a_here;
    if
    :: b_turned -> b_say_turned()
    :: else
    fi
}

#ifdef BUG_SHOWN_EARLY
#define B_COMPLETE b_turned
#else
#define B_COMPLETE (b_turned && b_p_turned)
#endif
#ifdef BUG_ROUTES_UNKNOWN
#define B_KNOWN true
#else
#define B_KNOWN p_knows
#endif
#define B_TAKES (!b_shown || b_shown_safe) // else it is as if it came later

active proctype B()
{
    mtype kind;
    byte place, message;
    do
    // What comes from P, in its order.
    :: atomic { B_TAKES && b_read < p_count && (p_word_b == 0 || p_word_b - 1 > b_read) ->
            if
            :: HAS(p_to_b, b_read) -> b_take(b_read + 1, HAS(p_for_b, b_read))
            :: else
            fi;
            p_to_b = p_to_b & ~(1 << b_read);
            p_for_b = p_for_b & ~(1 << b_read);
            b_read++
        }
    :: atomic { p_word_b != 0 && p_word_b - 1 <= b_read -> p_word_b = 0; b_p_turned = !b_shown }
    // And from A.
    :: atomic { a_linked && nempty(a_words) ->
            a_words ? kind, place, message;
            b_hear();
            kind = 0;
            place = 0;
            message = 0
        }
    // Its own clients.
    :: atomic { B_TAKES && b_count < FROM_B ->
            b_for_a = b_for_a | ((a_here_safe && !b_turned) << b_count);
            b_take(b_count + 1 + FROM_P, b_turned);
            b_count++
        }
    :: atomic { b_wanted && b_hidden_safe && B_KNOWN -> b_wanted = false; b_ready_a = true }
    :: atomic { b_last && b_hidden && B_COMPLETE ->
            b_hidden = false;
            b_last = false;
            b_wanted = false;
            b_p_turned = false;
            b_shown = true;
#ifdef BUG_ENDED_EARLY
            b_claim_a = true
#endif
        }
    :: atomic { b_hidden != b_hidden_safe || (b_hidden && LEN(b_queue) != b_safe) -> b_sync() }
    :: atomic { !b_crashed && a_here_safe -> b_crashed = true; b_crash() }
    od
}

#define ALL ((1 << (FROM_P + FROM_B)) - 1)

active proctype Rest()
{
    byte i, last, message, all;
end:
    timeout -> atomic {
        assert(b_shown && !a_here && !b_hidden);
        for (i : 0 .. LEN(b_queue) - 1) {
            message = AT(b_queue, i);
            assert(!HAS(all, message - 1));
            all = all | (1 << (message - 1));
            if
            :: message <= FROM_P -> assert(message > last); last = message
            :: else
            fi
        }
        assert(all == ALL)
    }
}
