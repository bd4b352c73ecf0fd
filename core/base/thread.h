// thread.h - which thread may call what, checked by clang -Wthread-safety and at run time.
//
// Job:    a role is a capability with no lock behind it: a thread has it because of what it is.
// Thread: any. Memory: one byte per thread. Limits: none.
// Functions say ON_WORKER / ON_PERSIST; code under a mutex says HOLDS(m).
#ifndef TERN_CORE_BASE_THREAD_H
#define TERN_CORE_BASE_THREAD_H

#include "core/base/base.h"

#ifdef __clang__
#define TERN_TSA(x) __attribute__((x))
#else
#define TERN_TSA(x)
#endif
#define CAPABILITY(n)   TERN_TSA(capability(n))
#define HOLDS(c)        TERN_TSA(requires_capability(c))
#define HOLDS_SHARED(c) TERN_TSA(requires_shared_capability(c))
#define GUARDED_BY(c)   TERN_TSA(guarded_by(c))
#define ASSERTS(c)      TERN_TSA(assert_capability(c))
#define ON_WORKER       HOLDS(role_worker)
#define ON_PERSIST      HOLDS(role_persist)
#define ON_ANY          /* documented: safe from every thread */

enum thread_role { ROLE_NONE, ROLE_WORKER, ROLE_PERSIST, ROLE_CLUSTER, ROLE_MAIN };

struct CAPABILITY("role") role {
    char unused;
};
extern struct role role_worker, role_persist;
extern _Thread_local enum thread_role thread_role;

static inline void
assert_worker(void) ASSERTS(role_worker)
{
    must_hot(thread_role == ROLE_WORKER);
}

static inline void
assert_persist(void) ASSERTS(role_persist)
{
    must_hot(thread_role == ROLE_PERSIST);
}

#endif
