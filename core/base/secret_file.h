// secret_file.h - small files that may hold secrets, read as a whole.
//
// Job:    certificates, keys, lists of keys: into memory, out of it without a trace; their PEM
//         blocks and lines.
// Owner:  the caller. Thread: any but workers (it reads the disk).
// Memory: the file. Limits: the caller's; more is an error.
#ifndef TERN_CORE_BASE_SECRET_FILE_H
#define TERN_CORE_BASE_SECRET_FILE_H

#include "core/base/err.h"

struct file_problem { // one line for the operator
    char text[512];
};

// Writes the problem, so that `return file_fail(...)` reads well. Always ERR_CONFIG.
err_t file_fail(struct file_problem *problem, const char *format, ...) PRINTF_LIKE(2);

struct secret_file {
    uint8_t *data; // with a NUL behind it that does not count
    uint32_t len;
};

// ERR_CONFIG: the problem names the file and the reason. Symbolic links are followed.
NODISCARD err_t secret_file_read(const char *path, uint32_t bytes_max, struct secret_file *ret_file,
                                 struct file_problem *ret_problem);
void secret_file_free(struct secret_file *file); // wipes, frees; a zeroed one is fine

// The next block between -----BEGIN and -----END lines, both included, borrowed from *rest, which
// moves behind it. False when there is none.
bool pem_next(struct slice *rest, struct slice *ret_block);
bool pem_is(struct slice block, const char *label); // "CERTIFICATE"
// The next line without its end, blanks at both ends, borrowed. False at the end.
bool line_next(struct slice *rest, struct slice *ret_line);

#endif
