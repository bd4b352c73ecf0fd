// control.h - what administrators publish to $CONTROL, and what dynamic security begins with.
//
// Job:    executes the commands of a question and fills in its answer; takes what the store has, or
//         the file of the configuration.
// Owner:  the service. Thread: control_open: main's; control_answer: any.
// Memory: the answer. Limits: those of dynsec.h.
#ifndef TERN_CORE_ACCESS_CONTROL_H
#define TERN_CORE_ACCESS_CONTROL_H

#include "core/access/dynsec.h"
#include "core/access/service.h"

// True: rules or users are others than before; they are to be in force before the answer is given.
bool control_answer(struct dynsec *dynsec, struct log *log, struct access_question *question);

// ERR_CONFIG: the problem says what and where.
NODISCARD err_t control_open(struct dynsec *dynsec, const struct access_stored *stored,
                             const char *file, struct access_stored *ret_fresh,
                             char ret_problem[ACCESS_PROBLEM_MAX]);

#endif
