// password_prompt.h - a new password, from whoever sits at the terminal.
//
// Job:    asks twice, without echo; from a pipe it takes one line, or two that are the same.
// Owner:  the caller. Thread: one, the only one. Memory: the password; secret_file_free wipes it.
// Limits: PASSWORD_INPUT_MAX.
#ifndef TERN_CORE_ACCESS_PASSWORD_PROMPT_H
#define TERN_CORE_ACCESS_PASSWORD_PROMPT_H

#include "core/base/secret_file.h"

#define PASSWORD_INPUT_MAX 65535u // bytes, of an MQTT string

// From standard input; what is asked goes to standard error. ERR_CONFIG: the problem: nothing came,
// it is empty, too long, or the two differ. A signal ends the process, and the terminal is as it
// was before.
NODISCARD err_t password_prompt(struct secret_file *ret_password, struct file_problem *ret_problem);

#endif
