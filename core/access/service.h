// service.h - answers what shards ask about clients (core/access.h).
//
// Job:    holds what answers come from (users, tokens' keys, authorities outside), asks them in
//         turn, on threads of its own; loads and replaces it as a whole.
// Owner:  main. Thread: main's, but for the threads inside. Memory: what the files hold.
// Limits: the desk's; ACCESS_FILE_BYTES_MAX a file.
//
// A client that names itself is asked about here, in this order, and the first that knows its name,
// or whose kind of credential it is, decides: a token's signature, the password file, the HTTP
// service; else it is refused. SCRAM asks the password file alone.
#ifndef TERN_CORE_ACCESS_SERVICE_H
#define TERN_CORE_ACCESS_SERVICE_H

#include "core/access.h"
#include "core/config.h"

struct access_service;
struct broker;
struct record;

#define ACCESS_FILE_BYTES_MAX (UINT32_C(128) << 20)
#define ACCESS_PROBLEM_MAX    1024
#define ACCESS_FILES_MAX      (CONFIG_LISTENERS_MAX * 2u + 8u)

// Reads all files, and changes nothing yet. OK: returns new. ERR_CONFIG: the problem names file and
// line.
NODISCARD err_t access_service_new(const struct config *config, struct access_service **ret_service,
                                   char ret_problem[ACCESS_PROBLEM_MAX]);
// Takes; its threads have ended, or never began. NULL is fine.
void access_service_free(struct access_service *service);

// What the store has of dynamic security, or is to have.
struct access_stored {
    struct record *records; // SETTING; each in bytes
    struct slice *bytes;    // ... of its own
    uint32_t count, record_cap, bytes_cap;
    uint64_t next_order; // above all that the store has
    char text[512];      // for the log: where it is from; empty: from the store
    bool doubtful;       // ... and not all of it
};
// Adds a copy. stored: a struct access_stored, zeroed before the first. OK.
err_t access_stored_add(void *stored, const struct record *record);
void access_stored_free(struct access_stored *stored); // wipes and frees what it holds

// Before the start: what was stored, or the file of the configuration if that is nothing; then
// *ret_fresh is what is to be stored. Nothing without dynamic_security. ERR_CONFIG: as above.
NODISCARD err_t access_service_open(struct access_service *service, const struct config *config,
                                    const struct access_stored *stored,
                                    struct access_stored *ret_fresh,
                                    char ret_problem[ACCESS_PROBLEM_MAX]);

// What is in force, for a broker that has not started. Returns new.
struct access_rules *access_service_rules(struct access_service *service);

// Starts to answer. ERR_IO, ERR_CONFIG: the problem says why not.
NODISCARD err_t access_service_start(struct access_service *service, struct broker *broker,
                                     unsigned threads, char ret_problem[ACCESS_PROBLEM_MAX]);
// Answers no more. Before the shards end.
void access_service_stop(struct access_service *service);

// Forgets passwords that were good too long ago. Every few seconds.
void access_service_tidy(struct access_service *service);

// Reads all files anew, with config. OK: access_service_enforce puts them in force. ERR_CONFIG:
// nothing has changed.
NODISCARD err_t access_service_reload(struct access_service *service, const struct config *config,
                                      char ret_problem[ACCESS_PROBLEM_MAX]);
// Gives the broker the rules of what is loaded. When it returns, all shards know them. ON_ANY.
void access_service_enforce(struct access_service *service);

// The files to watch. Borrowed from the configuration. Returns how many.
uint32_t access_service_files(const struct config *config, const char *ret_files[ACCESS_FILES_MAX]);

#endif
