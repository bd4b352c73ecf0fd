// config_loader.h - what the parts of the configuration loader share.
//
// Job:    the key table and the state of one load. Used by core/config*.c alone.
// Owner:  config_load. Thread: main.
// Memory: the loader owns the names of the files that it read; the rest goes to struct config.
// Limits: as config.h; CONFIG_KEYS_MAX keys in the table.
#ifndef TERN_CORE_CONFIG_LOADER_H
#define TERN_CORE_CONFIG_LOADER_H

#include "core/config.h"

#define CONFIG_KEYS_MAX     256
#define CONFIG_KEY_NAME_MAX 40

enum config_group {
    GROUP_LISTENERS,
    GROUP_ENTRY,
    GROUP_ACCESS,
    GROUP_AUTH_HTTP,
    GROUP_AUTH_JWT,
    GROUP_SESSIONS,
    GROUP_LIMITS,
    GROUP_RETAINED,
    GROUP_CLUSTER,
    GROUP_PERSISTENCE,
    GROUP_LOGGING,
    GROUP_HTTP,
    GROUP_PROCESS,
    CONFIG_GROUPS,
};

enum config_scope { SCOPE_GLOBAL, SCOPE_LISTENER };

enum config_type {
    TYPE_BOOL,     // true, false, 1, 0
    TYPE_UINT,     // min to max, in 1, 2, 4 or 8 bytes
    TYPE_STRING,   // to the end of the line
    TYPE_DURATION, // number and unit, or never; seconds in 4 bytes
    TYPE_CHOICE,   // one of the words in choices; its position is stored
    TYPE_OWN,      // set does it
};

enum config_status {
    KEY_SUPPORTED,
    KEY_IGNORED, // known elsewhere, harmless without: a warning, and on
    KEY_LATER,   // the broker would be less safe than its operator thinks: refuse to start
    KEY_BRIDGE,  // the same, told once per `connection`
};

struct config_loader;

struct config_key {
    const char *name; // ends in * when it stands for all that begin with it
    enum config_status status;
    enum config_group group;
    enum config_scope scope;
    enum config_type type;
    uint16_t offset; // in struct config or struct listener_config
    uint8_t size;
    bool fixed;       // a reload cannot change it
    bool repeats;     // each line adds
    bool minus_one;   // -1 means unlimited, as 0 does
    bool zero_is_max; // 0 means as large as can be, and is stored so
    uint32_t never;   // TYPE_DURATION: what `never` stores
    uint32_t unset;   // TYPE_UINT: what `auto` stores; 0 = there is no such word
    uint64_t min, max;
    const char *choices;  // "drop_newest|drop_oldest"
    const char *fallback; // the default, as text; NULL = none
    const char *example;  // value for the example file where there is no default
    const char *unit;
    const char *help; // KEY_IGNORED: why; KEY_LATER: what it asks for
    void (*set)(struct config_loader *loader, struct slice value);
    // TYPE_STRING: the value is one word, and this tells an error and is false where it is a bad
    // one. NULL: it is all of the line.
    bool (*check)(struct config_loader *loader, struct slice value);
};

enum config_answer { NOT_SAID, SAID_NO, SAID_YES };

struct config_origin {
    const char *file; // NULL: nowhere yet
    uint32_t line;    // 0: file is not a file but says what it is
};

struct config_loader {
    struct config *config;
    struct config_report *report;
    struct config_origin here;
    const char *key;                            // whose value is being read; NULL between values
    struct config_origin seen[CONFIG_KEYS_MAX]; // of listener keys: in this block
    // The block that listener keys belong to: &default_listener or one of config->listeners.
    struct listener_config *block;
    struct listener_config default_listener;
    bool default_wanted; // port or bind_address stands there
    char stray[160];     // the first listener key before any listener, and where it stands
    // Under per_listener_settings each listener has its own, else the last one said counts.
    enum config_answer anonymous, anonymous_default, anonymous_in[CONFIG_LISTENERS_MAX];
    bool dests_said, types_said;               // the defaults are gone
    char *psk_file, *password_file, *acl_file; // the last ones said
    bool in_bridge;
    bool follow_includes;
    uint32_t depth; // of include_dir
    uint32_t file_count;
    char *files[CONFIG_FILES_MAX];
};

// ---- config_keys.c
extern const struct config_key config_keys[];
extern const uint32_t config_key_count;
extern const char *const config_group_names[CONFIG_GROUPS];
// NULL when unknown. name is text as found, any bytes.
const struct config_key *config_key_find(struct slice name);
// The key that the author may have meant; NULL when none is near.
const struct config_key *config_key_nearest(struct slice name);

// ---- config_value.c
void config_error(struct config_loader *loader, const char *format, ...) PRINTF_LIKE(2);
void config_warning(struct config_loader *loader, const char *format, ...) PRINTF_LIKE(2);
// Without blanks at both ends.
struct slice config_trim(struct slice text);
// Cuts the first word off; rest begins with the next one.
struct slice config_word(struct slice text, struct slice *ret_rest);
bool config_is(struct slice word, const char *literal);
// The first word; warns when more than a comment follows.
struct slice config_single_word(struct config_loader *loader, struct slice value);
bool config_bool(struct config_loader *loader, struct slice value, bool *ret_value);
bool config_uint(struct config_loader *loader, struct slice value, uint64_t min, uint64_t max,
                 uint64_t *ret_value);
// Replaces *string, which it frees, by a copy.
void config_string(char **string, struct slice value);
bool config_same_text(const char *a, const char *b); // NULL is a value, too
// Stores a value of every type but TYPE_OWN in the struct at base, or adds an error.
void config_value_set(struct config_loader *loader, const struct config_key *key, void *base,
                      struct slice value);
uint64_t config_value_get(const struct config_key *key, const void *base); // not of strings
char **config_value_string(const struct config_key *key, void *base);
const char *config_value_text(const struct config_key *key, const void *base); // borrows
char **config_log_file(struct config *config); // log.file, which struct log_options only borrows
// Sets the defaults of all keys of this scope.
void config_value_defaults(enum config_scope scope, void *base);

// ---- config_own.c: the setters of TYPE_OWN
void config_set_listener(struct config_loader *loader, struct slice value);
void config_set_port(struct config_loader *loader, struct slice value);
void config_set_bind_address(struct config_loader *loader, struct slice value);
void config_set_socket_domain(struct config_loader *loader, struct slice value);
void config_set_protocol(struct config_loader *loader, struct slice value);
void config_set_anonymous(struct config_loader *loader, struct slice value);
void config_set_log_dest(struct config_loader *loader, struct slice value);
void config_set_log_type(struct config_loader *loader, struct slice value);
void config_set_log_facility(struct config_loader *loader, struct slice value);
void config_set_include_dir(struct config_loader *loader, struct slice value);

// ---- config_entry.c: TLS, WebSockets, PROXY
void config_set_tls_version(struct config_loader *loader, struct slice value);
void config_set_psk_file(struct config_loader *loader, struct slice value);
void config_set_password_file(struct config_loader *loader, struct slice value);
void config_set_acl_file(struct config_loader *loader, struct slice value);
void config_set_websockets_origin(struct config_loader *loader, struct slice value);
void config_set_proxy_protocol(struct config_loader *loader, struct slice value);
void config_set_proxy_from(struct config_loader *loader, struct slice value);
// What the keys of one listener have to do with each other.
void config_entry_finish(struct config_loader *loader, struct listener_config *listener);
void config_entry_copy(const struct listener_entry *from, struct listener_entry *to); // a deep one
void config_entry_clear(struct listener_entry *entry); // frees what it owns

// ---- config_auth_http.c
void config_set_auth_http_header(struct config_loader *loader, struct slice value);
void config_auth_http_finish(struct config_loader *loader);
void config_auth_http_clear(struct auth_http_config *http); // what the key table does not know of
// ---- config_http.c
bool config_check_http_listener(struct config_loader *loader, struct slice value);
// ---- config_own.c
bool config_check_control_socket(struct config_loader *loader, struct slice value);
// ---- config_auth_jwt.c
void config_set_auth_jwt_match(struct config_loader *loader, struct slice value);
void config_auth_jwt_finish(struct config_loader *loader);

// ---- config_cluster.c
void config_cluster_finish(struct config_loader *loader);
bool config_check_advertise(struct config_loader *loader, struct slice value);
bool config_check_advertise_host(struct config_loader *loader, struct slice value);

// ---- config_dynsec.c ----------------------------------------------------------------------------

void config_set_plugin(struct config_loader *loader, struct slice value);
void config_set_plugin_file(struct config_loader *loader, struct slice value);
void config_dynsec_finish(struct config_loader *loader);
void config_auth_jwt_clear(struct auth_jwt_config *jwt); // what the key table does not know of

// ---- config_file.c
// One key with its value, wherever it comes from.
void config_apply(struct config_loader *loader, const struct config_key *key, struct slice value);
// The lines of a file. name must live as long as the loader.
void config_read_text(struct config_loader *loader, const char *name, struct slice text);
void config_read_file(struct config_loader *loader, const char *path);

// ---- config_env.c
void config_read_env(struct config_loader *loader, char *const *env);

// ---- config.c
// Listener keys are single within their block: another one begins.
void config_block_begins(struct config_loader *loader, struct listener_config *block);
// A listener with the defaults of its keys; the array has room.
void config_listener_init(struct listener_config *listener);
void config_listener_clear(struct listener_config *listener);              // frees what it owns
struct listener_config *config_listener_add(struct config_loader *loader); // NULL: no more room

#endif
