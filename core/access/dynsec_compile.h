// dynsec_compile.h - from roles to rules.
//
// Job:    what shards need of the model. Owner: dynsec.c. Thread: whoever holds its lock.
// Memory: what is returned. Limits: see dynsec.h. Private to core/access/dynsec*.c.
#ifndef TERN_CORE_ACCESS_DYNSEC_COMPILE_H
#define TERN_CORE_ACCESS_DYNSEC_COMPILE_H

#include "core/access/dynsec_model.h"

struct acl *dynsec_compile_model(struct dynsec_model *model); // returns new
void dynsec_model_users(const struct dynsec_model *model, struct access_users *users);

#endif
