// entry.h - what a listener's configuration asks of those who come, in io's terms.
//
// Job:    a TLS context for each listener that has TLS, made from its files; whose PROXY headers
//         are believed; which files are watched.
// Owner:  main makes contexts and gives them to the listeners. Thread: main, but for entry_trusts.
// Memory: the contexts. Limits: CONFIG_LISTENERS_MAX listeners.
#ifndef TERN_IO_ENTRY_H
#define TERN_IO_ENTRY_H

#include "core/config.h"

struct listen_set;
struct tls_context;

#define ENTRY_FILES_MAX   (CONFIG_LISTENERS_MAX * 8u)
#define ENTRY_PROBLEM_MAX 768

struct entry_contexts {
    struct tls_context *of[CONFIG_LISTENERS_MAX]; // NULL = no TLS
};

// All contexts of the configuration, or none: ERR_CONFIG, and the problem names listener, file and
// reason.
NODISCARD err_t entry_contexts_new(const struct config *config, unsigned shards,
                                   struct entry_contexts *ret_contexts,
                                   char ret_problem[ENTRY_PROBLEM_MAX]);
// One listener's. *ret_context may be NULL with OK: no TLS.
NODISCARD err_t entry_context_new(const struct config *config, uint32_t listener, unsigned shards,
                                  struct tls_context **ret_context,
                                  char ret_problem[ENTRY_PROBLEM_MAX]);
void entry_contexts_free(struct entry_contexts *contexts);
// The files and folders of all listeners. Borrowed from the configuration. Returns how many.
uint32_t entry_files(const struct config *config, const char *ret_files[ENTRY_FILES_MAX]);

// Whether the other end of this socket is one of the listener's proxies, or on this machine's side
// of a unix socket.
bool entry_trusts(const struct listener_entry *entry, int fd);
uint32_t entry_origin_count(const struct listener_entry *entry);

#endif
