// session_rights.c - what a session may do.
#include "core/acl.h"
#include "core/session.h"

void
session_set_rights(struct session *session, struct rights *rights)
{
    rights_free(session->rights);
    session->rights = rights;
}
