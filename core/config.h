// config.h - what the operator asked for.
//
// Job:    mosquitto.conf's grammar, the environment and the command line, from one key table that
//         also makes --help, the defaults and the example configuration.
// Owner:  main builds a struct config; it is immutable afterwards and shared by all threads. A
//         reload builds another. Thread: any may read.
// Memory: strings and arrays belong to the struct config.
// Limits: CONFIG_LISTENERS_MAX listeners, CONFIG_FILES_MAX files of CONFIG_FILE_BYTES_MAX bytes,
//         lines of CONFIG_LINE_MAX bytes.
#ifndef TERN_CORE_CONFIG_H
#define TERN_CORE_CONFIG_H

#include "core/base/err.h"
#include "core/base/log.h"

#include "core/config_blocks.h"
#include "core/host.h"

#define CONFIG_LISTENERS_MAX  64
#define CONFIG_PORTS_MAX      16  // -p
#define CONFIG_FILES_MAX      256 // with those of include_dir, and these
#define CONFIG_FILE_BYTES_MAX 1048576
#define CONFIG_LINE_MAX       4096 // longer than any path
#define CONFIG_ENV_PREFIX     "TERNMQ_"

enum queue_full_action {
    QUEUE_FULL_REJECT,      // the publisher is told (0x97), or slowed where it cannot be; counted
    QUEUE_FULL_DROP_NEWEST, // the arriving message is dropped and counted (Mosquitto's way)
    QUEUE_FULL_DROP_OLDEST, // the oldest message not yet sent is dropped and counted
    QUEUE_FULL_DISCONNECT,  // the slow client is disconnected with 0x97 and counted
};

enum durability { DURABILITY_SYNC, DURABILITY_ASYNC };
enum recovery { RECOVERY_REFUSE, RECOVERY_QUARANTINE };

enum listener_protocol { PROTOCOL_MQTT, PROTOCOL_WEBSOCKETS };
enum listener_tls_version { TLS_AT_LEAST_1_2, TLS_AT_LEAST_1_3 };

// enable_proxy_protocol: which versions of the header are taken, as bits.
#define PROXY_PROTOCOL_V1 1u
#define PROXY_PROTOCOL_V2 2u

struct network {         // addresses that share their first bits
    uint8_t address[16]; // network order; of IPv4 the first four
    uint8_t bits;
    bool ipv6;
};

// Ways in: what core itself never reads. Files are read by io where it does not say another; NULL =
// not set.
struct listener_entry {
    char *cert_file, *key_file;            // certfile, keyfile
    char *ca_file, *ca_path, *crl_file;    // cafile, capath, crlfile
    char *ciphers, *ciphers_tls13;         // ciphers, ciphers_tls1.3
    char *psk_file, *psk_hint;             // psk_file: all listeners', or each one's own
    char *password_file, *acl_file;        // likewise; read by core/access
    char *ticket_key_file, *ocsp_file;     // ticket_keyfile, ocspfile
    char *websockets_path;                 // NULL = any
    char **websockets_origins;             // websockets_origin; a NULL ends it; NULL = any
    struct network *proxies;               // proxy_protocol_from
    uint32_t proxy_count;                  // of proxies
    uint32_t websockets_head_max;          // websockets_headers_size, 8192
    enum listener_protocol protocol;       // mqtt
    enum listener_tls_version tls_version; // 1.2
    uint8_t proxy_protocol;                // enable_proxy_protocol, 0 = no header is expected
    bool tls_asked;                        // one of the keys of TLS is there
    bool require_certificate;
    bool use_identity_as_username;
    bool use_subject_as_username;
    bool use_username_as_clientid;
};

struct listener_config {
    struct listener_entry entry;
    char *address;            // bind address or host name; NULL = all
    char *unix_path;          // NULL = TCP
    char *mount_point;        // NULL = none
    char *advertise;          // HOST[:PORT] by which clients reach this one; NULL = not told
    uint32_t connections_max; // max_connections; 0 = unlimited
    // Of each client, a second; 0 = no limit (client_rates.h).
    uint32_t messages_in_rate, messages_out_rate;
    uint64_t bytes_in_rate, bytes_out_rate;
    uint16_t port;            // 0 with a unix socket
    uint16_t topic_alias_max; // max_topic_alias
    uint8_t socket_domain;    // 0 both, 4 ipv4, 6 ipv6
    uint8_t maximum_qos;      // max_qos, 0..2
    bool allow_anonymous;
    bool node;          // cluster_bind: other nodes come here, and nobody else
    bool loopback_only; // nothing in the configuration says where to listen
};

#define INFLIGHT_AUTO UINT32_MAX // the window of client.h

struct config {
    struct listener_config listeners[CONFIG_LISTENERS_MAX];
    uint32_t listener_count;
    uint32_t workers; // 0 = the CPUs that the cgroup grants
    bool gather_workers;
    enum io_backend { IO_BACKEND_AUTO, IO_BACKEND_URING, IO_BACKEND_EPOLL } io; // auto

    // Sessions and queues. 0 = unlimited wherever a _max is a count or bytes.
    uint32_t inflight_messages_max; // outgoing QoS 1/2 per client; 0 = none, or INFLIGHT_AUTO
    uint32_t queued_messages_max;   // max_queued_messages, 1000; per session, QoS 1/2
    uint64_t queued_bytes_max;      // max_queued_bytes, 0; per session
    bool queue_qos0_messages;       // false; queue QoS 0 for absent durable sessions too
    enum queue_full_action queue_full_action;
    uint64_t output_bytes_max;        // max_output_bytes, 16 MiB; unsent bytes per connection
    uint32_t receive_max;             // receive_maximum, 1000; announced to MQTT 5 clients
    uint32_t subscriptions_max;       // max_subscriptions, 0; per session
    uint32_t session_expiry_max_s;    // persistent_client_expiration in s; 0xffffffff = never
    uint64_t sessions_max;            // max_sessions, 0
    uint32_t packet_size_max;         // max_packet_size, 2000000; whole packet
    uint32_t connect_packet_size_max; // max_connect_packet_size, 300000
    uint32_t payload_size_max;        // message_size_limit, 0
    uint16_t keep_alive_max_s;        // max_keepalive, 0 = no limit
    uint32_t connect_timeout_s;       // connect_timeout, 10
    uint64_t connections_max;         // global_max_connections
    uint32_t handshakes_max;          // max_pending_handshakes, 10000
    uint64_t clients_max;             // global_max_clients: sessions, connected or not
    uint32_t address_connections_max; // max_connections_per_address, 0
    uint32_t connect_rate, address_connect_rate; // CONNECTs a second: in all, per address; 0
    uint32_t flapping_max; // CONNECTs of a client in flapping_window_s; 0 = no bans
    uint32_t flapping_window_s, flapping_ban_s;
    uint32_t login_failures_max; // of an address in login_failure_window_s; 0 = no bans
    uint32_t login_failure_window_s, login_failure_ban_s;
    uint32_t drain_delay_s, drain_time_s;
    uint32_t topic_levels_max;       // max_topic_levels, TOPIC_LEVELS_MAX
    uint32_t subscribe_filters_max;  // max_subscribe_filters, 10000; of one SUBSCRIBE
    bool allow_zero_length_clientid; // true
    char *auto_id_prefix;            // "auto-"
    bool retain_available;           // true
    uint64_t retained_messages_max;  // max_retained_messages, 0
    uint64_t retained_bytes_max;     // max_retained_bytes, 0
    uint32_t retained_message_max;   // max_retained_message_size, 0; bytes of payload
    uint32_t retain_expiry_s;        // retained_message_expiry, 0 = none
    bool upgrade_outgoing_qos;       // false
    uint64_t memory_max;             // memory_limit, bytes; 0 = 3/4 of the cgroup's limit
    bool memory_follows;             // ... which main follows as it changes
    struct host host;        // what was granted when it was loaded; zeros where nobody asked
    uint32_t sys_interval_s; // sys_interval, 10; 0 = no $SYS
    bool set_tcp_nodelay;    // true

    // Who may connect.
    uint32_t login_threads; // 0 = half of the CPUs
    uint32_t logins_max;    // max_pending_logins, 1000
    struct auth_http_config auth_http;
    struct auth_jwt_config auth_jwt;
    bool dynamic_security;       // false
    char *dynamic_security_file; // taken when the store has nothing of it; NULL = none

    struct cluster_config cluster;

    // Persistence.
    bool persistence;                // false
    char *persistence_location;      // folder; NULL = the working folder
    char *persistence_file;          // the store's folder in it, "ternmq.db"
    enum durability durability;      // sync
    uint32_t durability_interval_ms; // 200; with async: what a crash may take
    enum recovery recovery;          // persistence_recovery, refuse
    char *backup_location;           // NULL = persistence_location

    // Logging.
    struct log_options log; // file belongs to this struct
    bool connection_messages;

    // Process.
    char *user, *pid_file;
    char *http_listener;   // "[ADDRESS:]PORT" (config_http.h); NULL = none
    uint8_t metrics_alias; // CONFIG_ALIAS_...
    char *control_socket;  // from the root; NULL = none
    bool daemon, quiet, verbose, per_listener_settings;
    char *file;     // -c, absolute; NULL = none
    char **sources; // all files that it was read from, and include_dirs; a NULL ends it
};

struct config_problem { // one line for the operator
    char text[512];     // "FILE:LINE: what was found; what was expected (nearest key: ...)"
};

#define CONFIG_PROBLEMS_MAX 32
struct config_report {
    struct config_problem errors[CONFIG_PROBLEMS_MAX], warnings[CONFIG_PROBLEMS_MAX];
    uint32_t error_count, warning_count; // may exceed the arrays; the rest is not kept
};

struct config_options { // what the command line says, before any file
    char *file;         // borrows from argv
    uint16_t ports[CONFIG_PORTS_MAX];
    uint32_t port_count;
    char *export_file, *import_file; // borrow from argv; NULL = not asked
    bool daemon, quiet, verbose, help, version, test_config, example_config, backup;
};
// argv as main's. ERR_CONFIG: ret_report has every error found.
NODISCARD err_t config_options_parse(int argc, char **argv, struct config_options *ret_options,
                                     struct config_report *ret_report);

// The file that the command line names, then the environment: TERNMQ_<KEY> in upper case wins over
// the file, for global keys and for those of the default listener. With no listener and no port in
// either, the broker listens on loopback only, on each -p or on 1883, and anonymous clients are
// welcome; beside other listeners each -p adds one on loopback. OK: returns new in ret_config.
// ERR_CONFIG: ret_report has every error found. Warnings may be there in both cases. env as
// environ; NULL is fine.
NODISCARD err_t config_load(const struct config_options *options, char *const *env,
                            struct config **ret_config, struct config_report *ret_report);
// The same from memory. name stands for the file in the report; include_dir is not followed, and
// what depends on the machine stays 0.
NODISCARD err_t config_parse(const char *name, struct slice text, char *const *env,
                             struct config **ret_config, struct config_report *ret_report);
// Loads anew, for a broker that runs with old. What cannot change while it runs keeps its old value
// with a warning that names the key; listeners keep their number and order, so that an index stays
// good. Returns as config_load.
NODISCARD err_t config_reload(const struct config *old, const struct config_options *options,
                              char *const *env, struct config **ret_config,
                              struct config_report *ret_report);
// A key and its value, as a line of a file could say it. Borrowed during the call.
struct config_shown {
    int listener; // from 0 on; -1: of the broker
    const char *key, *value;
};
// All keys that are in force, those of the broker first, then each listener with its own; keys
// without a value are left out. What may be a secret (headers, queries of URLs) is "***".
void config_show(const struct config *config,
                 void (*fn)(void *arg, const struct config_shown *shown), void *arg);
// Takes "ADDRESS:PORT" or "[ADDRESS]:PORT" apart; the address is a number or a name. False: it is
// not one.
#define CONFIG_HOST_MAX 256u
bool config_host_port(struct slice text, char ret_host[CONFIG_HOST_MAX], uint16_t *ret_port);
// The same with "NAME", too, whose port is the one that is given.
bool config_name_port(struct slice text, uint16_t port, char ret_host[CONFIG_HOST_MAX],
                      uint16_t *ret_port);
// The defaults alone, for tests: returns new, no listener.
struct config *config_defaults(void);
void config_free(struct config *config); // takes; NULL is fine

static inline bool
listener_uses_tls(const struct listener_config *listener)
{
    return listener->entry.tls_asked;
}

// The generated texts, from the key table, to a stdio stream (FILE *, void so that this header,
// which everything includes, does not bring stdio).
void config_write_help(void *file);
void config_write_example(void *file);

#endif
