// claims.pml - who keeps a client identifier, when it comes to several nodes: the protocol of cluster/claims.c.
//
// Nodes at which one client connects and leaves, whose clocks differ, which restart with the claim of their session
// and without the highest number they had heard; links that are cut with all that is in them, and words that a slow
// node is not sent. Checked: when nothing is left to do, at most one node has the client; nobody but the client ends
// the highest claim; who has heard of a claim makes a higher one.
//
// With one of the BUG_ names defined, the model has that bug, and the check has to fail (run.py).

#define NODES    2
#define CONNECTS 4
#define LEAVES   1
#define CUTS     2
#define RESTARTS 1
#define FAST     1 // how far a clock may be before another one

#define OTHER(n) (1 - (n))

chan came[NODES] = [2] of { byte }; // on its way from this node to the other one
bool up[NODES];
bool owes[NODES]; // the other one is to be told anew
#ifdef BUG_TOLD_BEFORE_HEARD
bool begun[NODES];
#endif

byte claim[NODES]; // 0: the client is not here
byte count[NODES]; // the highest that was made here or heard of
byte heard[NODES]; // by this process: what the next claim has to be above of
byte connects = 0, leaves = 0, cuts = 0, restarts = 0;

byte best = 0, best_node = 0; // the highest claim of all, and whose it is
bool best_left = false;       // the client itself went

#define BEATS(a, a_node, b, b_node) ((a) > (b) || ((a) == (b) && (a_node) > (b_node)))

// As a message: what does not fit waits.
inline tell(n)
{
    if
    :: nfull(came[n]) -> came[n] ! claim[n]
    :: full(came[n]) -> owes[n] = true
    fi
}

// At QoS 0: what does not fit is lost, and that is noticed.
inline tell_now(n)
{
    if
    :: up[n] && nfull(came[n]) -> came[n] ! claim[n]
#ifdef BUG_LOST_WORD
    :: up[n] -> skip
#else
    :: up[n] -> owes[n] = true
#endif
    :: !up[n] -> skip
    fi
}

inline connect(n, ahead)
{
    byte before = claim[n];
    count[n] = (count[n] > claim[n] -> count[n] : claim[n]) + 1 + ahead;
    claim[n] = count[n];
    assert(claim[n] > before && claim[n] > heard[n]);
    if
    :: BEATS(claim[n], n, best, best_node) ->
        best = claim[n];
        best_node = n;
        best_left = false
    :: else
    fi;
    tell_now(n)
}

inline settle(n, theirs)
{
    heard[n] = (theirs > heard[n] -> theirs : heard[n]);
#ifndef BUG_NOT_RAISED
    count[n] = (theirs > count[n] -> theirs : count[n]);
#endif
    if
    :: claim[n] == 0 -> skip
#ifdef BUG_NO_ORDER
    :: claim[n] != 0 -> claim[n] = 0
#elif defined(BUG_NO_TIE)
    :: claim[n] != 0 && theirs == claim[n] -> skip
    :: claim[n] != 0 && theirs > claim[n] -> claim[n] = 0
    :: claim[n] != 0 && theirs < claim[n] -> if :: up[n] -> tell(n) :: else fi
#else
    :: claim[n] != 0 && BEATS(theirs, OTHER(n), claim[n], n) -> claim[n] = 0
    :: claim[n] != 0 && !BEATS(theirs, OTHER(n), claim[n], n) -> if :: up[n] -> tell(n) :: else fi
#endif
    fi
}

inline cut(n)
{
    do
    :: nempty(came[n]) -> came[n] ? _
    :: empty(came[n]) -> break
    od;
    up[n] = false;
    owes[n] = false
}

proctype Node(byte n)
{
    byte theirs;
    do
    :: atomic { connects < CONNECTS -> connects++;
            if
            :: connect(n, 0)
            :: connect(n, FAST)
            fi
        }
    :: atomic { leaves < LEAVES && claim[n] != 0 ->
            leaves++;
            if
            :: claim[n] == best && n == best_node -> best_left = true
            :: else
            fi;
            claim[n] = 0
        }
    :: atomic { came[OTHER(n)] ? theirs -> settle(n, theirs); theirs = 0 }
#ifdef BUG_TOLD_BEFORE_HEARD
    :: atomic { !up[n] && !begun[n] ->
            begun[n] = true;
            if :: claim[n] != 0 -> tell(n) :: else fi
        }
    :: atomic { !up[n] && begun[n] -> begun[n] = false; up[n] = true }
#else
    :: atomic { !up[n] -> up[n] = true;
#ifndef BUG_NOT_TOLD_AGAIN
            owes[n] = true
#endif
        }
#endif
    :: atomic { up[n] && owes[n] && nfull(came[n]) ->
            owes[n] = false;
            if :: claim[n] != 0 -> tell(n) :: else fi
        }
    :: atomic { cuts < CUTS && up[n] -> cuts++; cut(n) }
    :: atomic { restarts < RESTARTS ->
            restarts++;
            cut(n);
            cut(OTHER(n));
            count[n] = 0;
            heard[n] = 0;
#ifdef BUG_CLAIM_NOT_KEPT
            if :: claim[n] != 0 -> claim[n] = 1 :: else fi
#endif
        }
    od
}

// Nothing is above the highest claim: it goes with the client alone.
#define BEST_STAYS (best == 0 || best_left || claim[best_node] == best)

active proctype Rest()
{
    atomic { run Node(0); run Node(1) }
end:
    do
    :: !(BEST_STAYS) -> assert(false)
    :: timeout -> assert(claim[0] == 0 || claim[1] == 0); break
    od
}
