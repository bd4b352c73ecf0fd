// config_blocks.h - groups of keys that core itself never reads.
//
// Job:    what others are told of the configuration: who decides outside, and the cluster.
// Owner:  struct config. Thread: any may read. Memory: strings and arrays are the struct config's.
// Limits: those of the key table.
#ifndef TERN_CORE_CONFIG_BLOCKS_H
#define TERN_CORE_CONFIG_BLOCKS_H

#include "core/base/base.h"

enum auth_http_request { AUTH_HTTP_JSON, AUTH_HTTP_FORM };
enum auth_http_response { AUTH_HTTP_SAYS, AUTH_HTTP_STATUS };

// auth_http_*: the service outside that decides.
struct auth_http_config {
    char *url, *superuser_url, *acl_url; // NULL = not asked
    char *ca_file;                       // NULL = the system's
    char **headers;                      // "NAME: VALUE", secret; a NULL ends it; NULL = none
    enum auth_http_request request;      // json
    enum auth_http_response response;    // json
    uint32_t timeout_ms;                 // 5000
    uint32_t connect_timeout_ms;         // 2000
    uint32_t connections_max;            // auth_http_connections, 16
    uint32_t requests_max;               // auth_http_max_requests, 1000
    uint64_t cache_bytes_max;            // auth_http_cache_size, 8 MiB; 0 = no cache
    uint32_t cache_ttl_s;                // 10
    uint32_t cache_deny_ttl_s;           // 2
    uint32_t cache_connect_ttl_s;        // 0
};

// auth_jwt_*: JSON Web Tokens as passwords.
struct auth_jwt_config {
    char *key_file;    // NULL = no tokens
    char *issuer;      // what `iss` must be; NULL = it does not matter
    char *audience;    // what `aud` must be or hold; NULL = a token that has one is not for us
    char *user_claim;  // "sub"
    char *acl_claim;   // "acl"
    char **matches;    // auth_jwt_match: "CLAIM VALUE"; a NULL ends it; NULL = none
    uint32_t leeway_s; // 10
};

// cluster_* and node_name.
struct cluster_config {
    char *name;           // NULL = one node alone
    char *secret_file;    // one or two lines, secrets
    char *node;           // node_name; NULL = the host's
    char *bind;           // ADDRESS:PORT, of UDP and TCP
    char *advertise;      // ADDRESS:PORT that others reach; NULL = bind
    char *seeds;          // ADDRESS:PORT, with blanks between; NULL = others come to us
    char *advertise_host; // by which clients reach this node; NULL = listeners say it, or none
    char *dns;            // NAME[:PORT] of all nodes, the port being bind's by default; NULL = none
    uint64_t will_bytes_max; // 64 MB: Wills of other nodes' clients; 0 = no limit
    bool plain;              // true: TCP between nodes is not encrypted, only who comes is proved
};

#endif
