// thread.c - the roles themselves.
#include "core/base/thread.h"

struct role role_worker, role_persist;
_Thread_local enum thread_role thread_role;
