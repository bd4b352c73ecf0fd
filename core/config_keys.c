// config_keys.c - every key that a configuration may hold, in one table.
#include "core/config_loader.h"
#include "core/topic.h"

const char *const config_group_names[CONFIG_GROUPS] = {
    [GROUP_LISTENERS] = "Listeners",
    [GROUP_ENTRY] = "TLS, WebSockets, PROXY protocol",
    [GROUP_ACCESS] = "Who may connect, and do what",
    [GROUP_AUTH_HTTP] = "Clients: an HTTP service decides",
    [GROUP_AUTH_JWT] = "Clients: JSON Web Tokens",
    [GROUP_SESSIONS] = "Sessions, queues and flow",
    [GROUP_LIMITS] = "Limits",
    [GROUP_RETAINED] = "Retained messages",
    [GROUP_CLUSTER] = "Cluster",
    [GROUP_PERSISTENCE] = "Persistence",
    [GROUP_LOGGING] = "Logging",
    [GROUP_HTTP] = "Health and metrics",
    [GROUP_PROCESS] = "The process",
};

#define U16 UINT16_MAX
#define U32 UINT32_MAX
// Far above any machine, far below an overflow when bytes are added up.
#define BYTES_MAX (1ull << 60)
// A terabyte a second: bucket.h counts thousandths of it.
#define RATE_MAX (1ull << 40)
// The largest MQTT packet: five bytes of fixed header and the largest remaining length.
#define PACKET_MAX  268435460ull
#define PAYLOAD_MAX 268435455ull

// clang-format off
#define MEMBER(type, field)                                                                        \
    .offset = offsetof(struct type, field), .size = sizeof(((struct type *)0)->field)
#define GLOBAL(t, field)    .scope = SCOPE_GLOBAL, .type = TYPE_##t, MEMBER(config, field)
#define LISTENER(t, field)                                                                         \
    .scope = SCOPE_LISTENER, .type = TYPE_##t, MEMBER(listener_config, field)
#define GLOBAL_OWN(fn)      .scope = SCOPE_GLOBAL, .type = TYPE_OWN, .set = (fn)
#define LISTENER_OWN(fn)    .scope = SCOPE_LISTENER, .type = TYPE_OWN, .set = (fn)
#define RANGE(low, high)    .min = (low), .max = (high)
#define KEY(g, n)           .name = (n), .group = GROUP_##g
#define IGNORED(n, why)                                                                            \
    {.name = (n), .status = KEY_IGNORED, .type = TYPE_OWN, .repeats = true, .help = (why)}
#define LATER(n, what)                                                                             \
    {.name = (n), .status = KEY_LATER, .type = TYPE_OWN, .repeats = true, .help = (what)}
#define LATER_BOOL(n, what)                                                                        \
    {.name = (n), .status = KEY_LATER, .type = TYPE_BOOL, .repeats = true, .help = (what)}
// Of a listener's way in.
#define ENTRY(n)                .name = (n), .group = GROUP_ENTRY, .scope = SCOPE_LISTENER
#define ENTRY_FIELD(t, field) .type = TYPE_##t, MEMBER(listener_config, entry.field)
#define ENTRY_OWN(fn)         .type = TYPE_OWN, .set = (fn)
#define HTTP(n)               .name = "auth_http_" n, .group = GROUP_AUTH_HTTP
#define HTTP_FIELD(t, field)  GLOBAL(t, auth_http.field)
#define JWT(n)              .name = "auth_jwt_" n, .group = GROUP_AUTH_JWT
#define JWT_FIELD(t, field) GLOBAL(t, auth_jwt.field)
#define BRIDGE(n)                                                                                  \
    {.name = (n), .status = KEY_BRIDGE, .type = TYPE_OWN, .repeats = true, .help = "bridges"}

const struct config_key config_keys[] = {
    {KEY(LISTENERS, "listener"), GLOBAL_OWN(config_set_listener), .repeats = true, .fixed = true,
     .example = "1883 0.0.0.0", .unit = "PORT [ADDRESS | PATH]",
     .help = "Opens a listener; the listener keys below it belong to it. Port 0 with a path is "
             "a unix socket. Without any listener and port, the broker listens on loopback "
             "only."},
    {KEY(LISTENERS, "port"), LISTENER_OWN(config_set_port), .fixed = true, .example = "1883",
     .unit = "port",
     .help = "The default listener's port, 1 to 65535. Its keys stand before the first "
             "listener."},
    {KEY(LISTENERS, "bind_address"), LISTENER_OWN(config_set_bind_address), .fixed = true,
     .example = "127.0.0.1", .unit = "address",
     .help = "The default listener's address or host name."},
    {KEY(LISTENERS, "allow_anonymous"), GLOBAL_OWN(config_set_anonymous), .repeats = true,
     .example = "false", .unit = "true | false",
     .help = "Admits clients without a user name. Default: true with no listener and no port, "
             "else false. Holds for all listeners, or for the one it stands under with "
             "per_listener_settings."},
    {KEY(LISTENERS, "per_listener_settings"), GLOBAL(BOOL, per_listener_settings),
     .fallback = "false", .help = "Makes allow_anonymous a key of each listener."},
    {KEY(LISTENERS, "max_connections"), LISTENER(UINT, connections_max), RANGE(0, U32),
     .minus_one = true, .fallback = "0", .unit = "connections",
     .help = "Connections of this listener; 0 or -1: no limit."},
    {KEY(LISTENERS, "max_messages_in_rate"), LISTENER(UINT, messages_in_rate), RANGE(0, U32),
     .fallback = "0", .unit = "messages",
     .help = "Messages a second from each client of this listener; beyond it, the client is not "
             "read until its time has come, and nothing is lost. As many may come at once. "
             "0: no limit."},
    {KEY(LISTENERS, "max_bytes_in_rate"), LISTENER(UINT, bytes_in_rate), RANGE(0, RATE_MAX),
     .fallback = "0", .unit = "bytes", .help = "The same in bytes of all packets; 0: no limit."},
    {KEY(LISTENERS, "max_messages_out_rate"), LISTENER(UINT, messages_out_rate), RANGE(0, U32),
     .fallback = "0", .unit = "messages",
     .help = "Messages a second to each client of this listener; beyond it, those of QoS 1 and 2 "
             "wait in its queue, and those of QoS 0 are dropped, or wait with "
             "queue_qos0_messages. 0: no limit."},
    {KEY(LISTENERS, "max_bytes_out_rate"), LISTENER(UINT, bytes_out_rate), RANGE(0, RATE_MAX),
     .fallback = "0", .unit = "bytes",
     .help = "The same in bytes of topics and payloads; 0: no limit."},
    {KEY(LISTENERS, "max_qos"), LISTENER(UINT, maximum_qos), RANGE(0, 2), .fallback = "2",
     .unit = "QoS", .help = "The highest QoS that clients of this listener may publish with."},
    {KEY(LISTENERS, "max_topic_alias"), LISTENER(UINT, topic_alias_max), RANGE(0, U16),
     .fallback = "10", .unit = "aliases",
     .help = "Topic aliases that an MQTT 5 client of this listener may set."},
    {KEY(LISTENERS, "socket_domain"), LISTENER_OWN(config_set_socket_domain), .fixed = true,
     .example = "ipv4", .unit = "ipv4 | ipv6", .help = "One address family instead of both."},
    {KEY(LISTENERS, "protocol"), LISTENER_OWN(config_set_protocol), .fixed = true,
     .example = "mqtt", .unit = "mqtt | websockets",
     .help = "What this listener speaks: MQTT, or MQTT in WebSockets."},
    {KEY(LISTENERS, "advertise"), LISTENER(STRING, advertise), .fixed = true,
     .check = config_check_advertise, .example = "mqtt-1.example.org:1883", .unit = "HOST[:PORT]",
     .help = "In a cluster: how clients reach this listener of this node. Other nodes that "
             "drain, or have too many clients, send MQTT 5 clients of the listener with the same "
             "number there (Server Reference)."},
    {KEY(LISTENERS, "set_tcp_nodelay"), GLOBAL(BOOL, set_tcp_nodelay), .fallback = "true",
     .help = "Sends small packets at once. Off, acknowledgements wait for up to 40 ms."},

    {ENTRY("certfile"), ENTRY_FIELD(STRING, cert_file),
     .example = "/etc/ternmq/certs/server.pem", .unit = "path",
     .help = "Turns TLS 1.2 and 1.3 on: the certificate of this listener, and behind it its chain, "
             "in PEM. The files of TLS are read again when they change."},
    {ENTRY("keyfile"), ENTRY_FIELD(STRING, key_file),
     .example = "/etc/ternmq/certs/server.key", .unit = "path",
     .help = "The certificate's private key, in PEM, not encrypted."},
    {ENTRY("cafile"), ENTRY_FIELD(STRING, ca_file),
     .example = "/etc/ternmq/certs/clients.pem", .unit = "path",
     .help = "The CAs to trust with client certificates, in PEM."},
    {ENTRY("capath"), ENTRY_FIELD(STRING, ca_path), .example = "/etc/ternmq/certs/clients/",
     .unit = "folder", .help = "The same, as a folder of files; their names do not matter."},
    {ENTRY("crlfile"), ENTRY_FIELD(STRING, crl_file),
     .example = "/etc/ternmq/certs/revoked.pem", .unit = "path",
     .help = "Lists of revoked client certificates, in PEM."},
    {ENTRY("require_certificate"), ENTRY_FIELD(BOOL, require_certificate),
     .fallback = "false", .help = "Admits clients only with a certificate that can be trusted."},
    {ENTRY("use_identity_as_username"), ENTRY_FIELD(BOOL, use_identity_as_username),
     .fallback = "false",
     .help = "The user name is the Common Name of the client's certificate, or its pre-shared "
             "key's identity."},
    {ENTRY("use_subject_as_username"), ENTRY_FIELD(BOOL, use_subject_as_username),
     .fallback = "false",
     .help = "The user name is the whole subject of the client's certificate, as CN=a,O=b."},
    {ENTRY("use_username_as_clientid"),
     ENTRY_FIELD(BOOL, use_username_as_clientid), .fallback = "false",
     .help = "The client identifier is the user name, whatever the client says."},
    {ENTRY("tls_version"), ENTRY_OWN(config_set_tls_version), .example = "tlsv1.2",
     .unit = "tlsv1.2 | tlsv1.3", .help = "The lowest version of TLS that is spoken."},
    {ENTRY("ciphers"), ENTRY_FIELD(STRING, ciphers),
     .example = "ECDHE+AESGCM:ECDHE+CHACHA20", .unit = "OpenSSL's list",
     .help = "Cipher suites of TLS 1.2. Default: those with ECDHE and AES-GCM or ChaCha20. CBC has "
             "to be asked for; NULL, anonymous, RC4, export and 3DES do not exist here."},
    {ENTRY("ciphers_tls1.3"), ENTRY_FIELD(STRING, ciphers_tls13),
     .example = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256", .unit = "list",
     .help = "Cipher suites of TLS 1.3. Default: all three."},
    {ENTRY("psk_hint"), ENTRY_FIELD(STRING, psk_hint), .example = "ternmq", .unit = "text",
     .help = "Turns TLS with pre-shared keys on, without certificates: the hint that clients get."},
    {ENTRY("psk_file"), ENTRY_OWN(config_set_psk_file), .repeats = true,
     .example = "/etc/ternmq/psk.txt", .unit = "path",
     .help = "Lines of identity:key, the key in hexadecimal. Holds for all listeners, or for the "
             "one it stands under with per_listener_settings."},
    {ENTRY("ticket_keyfile"), ENTRY_FIELD(STRING, ticket_key_file),
     .example = "/etc/ternmq/tickets.txt", .unit = "path",
     .help = "Keys of session tickets, for brokers that share clients: lines of 48 random bytes in "
             "base64; the first one seals, all of them open. Default: random keys that change "
             "every hour."},
    {ENTRY("ocspfile"), ENTRY_FIELD(STRING, ocsp_file),
     .example = "/etc/ternmq/certs/server.ocsp", .unit = "path",
     .help = "An OCSP response for the certificate, in DER, that clients get with it."},
    {ENTRY("websockets_path"), ENTRY_FIELD(STRING, websockets_path),
     .example = "/mqtt", .unit = "path",
     .help = "The path of the requests that this listener upgrades. Default: any."},
    {ENTRY("websockets_origin"), ENTRY_OWN(config_set_websockets_origin),
     .repeats = true, .example = "https://app.example.org", .unit = "origin",
     .help = "Whose pages may connect; repeat it for several. Default: anybody's."},
    {ENTRY("websockets_headers_size"),
     ENTRY_FIELD(UINT, websockets_head_max), RANGE(256, 65536), .fallback = "8192", .unit = "bytes",
     .help = "How long a request for an upgrade may be."},
    {ENTRY("enable_proxy_protocol"), ENTRY_OWN(config_set_proxy_protocol),
     .example = "false", .unit = "true | false | 1 | 2",
     .help = "Every connection of this listener begins with a PROXY header: of version 1, of "
             "version 2, or of either."},
    {ENTRY("proxy_protocol_from"), ENTRY_OWN(config_set_proxy_from),
     .repeats = true, .example = "10.0.0.0/8", .unit = "ADDRESS[/BITS]",
     .help = "The proxies; repeat it for several. Others are refused. Whoever comes by a unix "
             "socket is one."},

    {KEY(ACCESS, "password_file"), .scope = SCOPE_LISTENER, .type = TYPE_OWN,
     .set = config_set_password_file, .repeats = true, .example = "/etc/ternmq/passwd",
     .unit = "path",
     .help = "Users and what their passwords are checked with, as mosquitto_passwd and "
             "ternmq-passwd write them. Holds for all listeners, or for the one it stands under "
             "with per_listener_settings. Read again when it changes, and on HUP."},
    {KEY(ACCESS, "acl_file"), .scope = SCOPE_LISTENER, .type = TYPE_OWN,
     .set = config_set_acl_file, .repeats = true, .example = "/etc/ternmq/acl", .unit = "path",
     .help = "Who may publish and subscribe to what, in mosquitto's form. Without it everybody who "
             "is connected may do everything; with it, what it does not allow is denied. Holds for "
             "all listeners, or for the one it stands under with per_listener_settings. Read again "
             "when it changes, and on HUP."},
    {KEY(ACCESS, "login_threads"), GLOBAL(UINT, login_threads), RANGE(0, 64), .fixed = true,
     .fallback = "0", .unit = "threads",
     .help = "Threads that check passwords. 0: half of the CPUs, at least one. A check with "
             "argon2id, as ternmq-passwd has it, takes 7 MiB for some 15 ms."},
    {KEY(ACCESS, "max_pending_logins"), GLOBAL(UINT, logins_max), RANGE(1, 1000000),
     .fixed = true, .fallback = "1000", .unit = "clients",
     .help = "How many clients may wait for such a check. More are told that the server is busy "
             "(0x89)."},
    {KEY(ACCESS, "dynamic_security"), GLOBAL(BOOL, dynamic_security), .fixed = true,
     .fallback = "false",
     .help = "Clients, groups, roles and their rules are kept in the store and changed with "
             "mosquitto_ctrl dynsec while the broker runs. Instead of acl_file; beside it, "
             "password_file and the others are asked about names that are not in it."},
    {KEY(ACCESS, "dynamic_security_file"), GLOBAL(STRING, dynamic_security_file), .fixed = true,
     .example = "/etc/ternmq/dynamic-security.json", .unit = "path",
     .help = "What dynamic security begins with, as mosquitto_ctrl dynsec init makes it: taken at "
             "a start at which the store has nothing of it, and not looked at again."},
    {KEY(ACCESS, "plugin"), GLOBAL_OWN(config_set_plugin), .repeats = true, .fixed = true,
     .example = "/usr/lib/mosquitto_dynamic_security.so", .unit = "path",
     .help = "As in mosquitto.conf, for that name alone: the same as dynamic_security true."},
    {KEY(ACCESS, "plugin_opt_config_file"), GLOBAL_OWN(config_set_plugin_file), .fixed = true,
     .repeats = true, .example = "/etc/ternmq/dynamic-security.json", .unit = "path",
     .help = "As in mosquitto.conf: the same as dynamic_security_file."},
    {HTTP("url"), HTTP_FIELD(STRING, url), .example = "https://auth.example.org/mqtt/user",
     .unit = "URL",
     .help = "Who connects is decided by this service, which gets a POST with user name and "
             "password."},
    {HTTP("superuser_url"), HTTP_FIELD(STRING, superuser_url),
     .example = "https://auth.example.org/mqtt/superuser", .unit = "URL",
     .help = "Asked about whoever auth_http_url has let in: a superuser, for whom no rules hold? "
             "For services that do not say so in their first answer."},
    {HTTP("acl_url"), HTTP_FIELD(STRING, acl_url),
     .example = "https://auth.example.org/mqtt/acl", .unit = "URL",
     .help = "Asked before a client publishes to a topic or subscribes to a filter."},
    {HTTP("ca_file"), HTTP_FIELD(STRING, ca_file), .example = "/etc/ternmq/certs/auth.pem",
     .unit = "path",
     .help = "The CAs to trust with the service's certificate, in PEM. Default: the system's."},
    {HTTP("header"), GLOBAL_OWN(config_set_auth_http_header), .repeats = true,
     .example = "Authorization: Bearer abc", .unit = "NAME: VALUE",
     .help = "A header of every request; repeat it for several. It is never logged."},
    {HTTP("request"), HTTP_FIELD(CHOICE, request), .choices = "json|form", .fallback = "json",
     .help = "How the question is written: as a JSON object, or as the fields of a form."},
    {HTTP("response"), HTTP_FIELD(CHOICE, response), .choices = "json|status",
     .fallback = "json",
     .help = "json: 200 with a JSON object that says, or an empty answer with 200 or 204: yes. "
             "status: any 2xx is a yes, whatever comes with it. Both: 4xx is a no."},
    {HTTP("timeout"), HTTP_FIELD(UINT, timeout_ms), RANGE(10, 60000), .fallback = "5000",
     .unit = "milliseconds",
     .help = "How long a question may take, with its wait for a connection. Then the answer is "
             "no."},
    {HTTP("connect_timeout"), HTTP_FIELD(UINT, connect_timeout_ms), RANGE(10, 60000),
     .fallback = "2000", .unit = "milliseconds",
     .help = "How long a connection to the service may take of that."},
    {HTTP("connections"), HTTP_FIELD(UINT, connections_max), RANGE(1, 256), .fallback = "16",
     .unit = "connections",
     .help = "Connections to the service, which is as many requests at a time. They are kept."},
    {HTTP("max_requests"), HTTP_FIELD(UINT, requests_max), RANGE(1, 1000000),
     .fallback = "1000", .unit = "questions",
     .help = "Questions that are under way or wait; to more the answer is no."},
    {HTTP("cache_size"), HTTP_FIELD(UINT, cache_bytes_max), RANGE(0, BYTES_MAX),
     .fallback = "8388608", .unit = "bytes",
     .help = "Memory for answers that are kept, about 300 bytes each."},
    {HTTP("cache_ttl"), HTTP_FIELD(UINT, cache_ttl_s), RANGE(0, 86400), .fallback = "10",
     .unit = "seconds",
     .help = "How long a yes to a topic or filter holds; 0: it is asked for each message."},
    {HTTP("cache_deny_ttl"), HTTP_FIELD(UINT, cache_deny_ttl_s), RANGE(0, 86400),
     .fallback = "2", .unit = "seconds", .help = "The same for a no."},
    {HTTP("cache_connect_ttl"), HTTP_FIELD(UINT, cache_connect_ttl_s), RANGE(0, 86400),
     .fallback = "0", .unit = "seconds",
     .help = "How long an answer to a connecting client holds for one that brings the same; 0: "
             "each is asked about."},
    {JWT("key_file"), JWT_FIELD(STRING, key_file), .example = "/etc/ternmq/tokens.jwks",
     .unit = "path",
     .help = "Takes JSON Web Tokens as passwords, signed by one of the keys in this file: a JWK "
             "Set, public keys or certificates in PEM, or a line with a secret. RS256, ES256, "
             "EdDSA, HS256, HS384 and HS512. The file is read again when it changes."},
    {JWT("issuer"), JWT_FIELD(STRING, issuer), .example = "https://id.example.org",
     .unit = "text", .help = "What a token's iss must be. Default: it does not matter."},
    {JWT("audience"), JWT_FIELD(STRING, audience), .example = "mqtt", .unit = "text",
     .help = "What a token's aud must be, or hold. Default: tokens with an aud are for others, "
             "and refused."},
    {JWT("user_claim"), JWT_FIELD(STRING, user_claim), .fallback = "sub", .unit = "claim",
     .help = "The claim that holds the user name. The client goes by it, whatever name it gave."},
    {JWT("acl_claim"), JWT_FIELD(STRING, acl_claim), .fallback = "acl", .unit = "claim",
     .help = "The claim that holds what the client may publish and receive. What it does not "
             "allow is denied; a token without it leaves that to the other rules."},
    {JWT("match"), GLOBAL_OWN(config_set_auth_jwt_match), .repeats = true,
     .example = "client_id %c", .unit = "CLAIM VALUE",
     .help = "A claim that must be this text, with %c for the client identifier and %u for the "
             "user name that the client gave; repeat it for several."},
    {JWT("leeway"), JWT_FIELD(UINT, leeway_s), RANGE(0, 3600), .fallback = "10",
     .unit = "seconds",
     .help = "By how much the clocks of issuer and broker may differ: exp, nbf and iat are taken "
             "so much later or earlier."},

    {KEY(SESSIONS, "max_inflight_messages"), GLOBAL(UINT, inflight_messages_max), RANGE(0, U16),
     .unset = INFLIGHT_AUTO, .fallback = "auto", .unit = "messages",
     .help = "QoS 1 and 2 messages on their way to one client; 0: no limit but the client's. auto: "
             "20 on a new connection, up to 1000 as it acknowledges them; QoS 2 before MQTT 5: "
             "20."},
    {KEY(SESSIONS, "max_queued_messages"), GLOBAL(UINT, queued_messages_max), RANGE(0, U32),
     .fallback = "1000", .unit = "messages",
     .help = "QoS 1 and 2 messages that wait for one session; 0: no limit."},
    {KEY(SESSIONS, "max_queued_bytes"), GLOBAL(UINT, queued_bytes_max), RANGE(0, BYTES_MAX),
     .fallback = "0", .unit = "bytes", .help = "The same in bytes; 0: no limit."},
    {KEY(SESSIONS, "queue_qos0_messages"), GLOBAL(BOOL, queue_qos0_messages), .fallback = "false",
     .help = "Keeps QoS 0 messages, too, for sessions whose client is away."},
    {KEY(SESSIONS, "queue_full_action"), GLOBAL(CHOICE, queue_full_action),
     .choices = "reject|drop_newest|drop_oldest|disconnect", .fallback = "reject",
     .help = "What gives way when a session's queue is full. reject: the publisher is told, or "
             "slowed where its version has no word for it."},
    {KEY(SESSIONS, "receive_maximum"), GLOBAL(UINT, receive_max), RANGE(1, U16),
     .fallback = "1000", .unit = "messages",
     .help = "QoS 1 and 2 messages that an MQTT 5 client may have on their way to the "
             "broker."},
    {KEY(SESSIONS, "max_subscriptions"), GLOBAL(UINT, subscriptions_max), RANGE(0, U32),
     .fallback = "0", .unit = "filters", .help = "Subscriptions of one session; 0: no limit."},
    {KEY(SESSIONS, "persistent_client_expiration"), GLOBAL(DURATION, session_expiry_max_s),
     .never = U32, .fallback = "never",
     .help = "How long a session outlives its client's connection at most."},
    {KEY(SESSIONS, "max_keepalive"), GLOBAL(UINT, keep_alive_max_s), RANGE(0, U16),
     .fallback = "0", .unit = "seconds",
     .help = "The longest keep alive granted; 0: no limit. MQTT 3 clients that ask for more are "
             "refused."},
    {KEY(SESSIONS, "connect_timeout"), GLOBAL(UINT, connect_timeout_s), RANGE(1, 3600),
     .fallback = "10", .unit = "seconds",
     .help = "How long a new connection may take to send its CONNECT."},
    {KEY(SESSIONS, "drain_delay"), GLOBAL(UINT, drain_delay_s), RANGE(0, 3600), .fallback = "0",
     .unit = "seconds",
     .help = "After SIGTERM, how long clients are served as before while /readyz says no: until "
             "load balancers send them elsewhere."},
    {KEY(SESSIONS, "drain_time"), GLOBAL(UINT, drain_time_s), RANGE(0, 3600), .fallback = "0",
     .unit = "seconds",
     .help = "After that, how long the broker takes to end its connections, one after the other, "
             "and refuses new ones (0x9C where another node advertises itself, else 0x89). 0: all "
             "at once. A second SIGTERM ends it at once."},
    {KEY(SESSIONS, "allow_zero_length_clientid"), GLOBAL(BOOL, allow_zero_length_clientid),
     .fallback = "true", .help = "Gives a client that brings no identifier one of its own."},
    {KEY(SESSIONS, "auto_id_prefix"), GLOBAL(STRING, auto_id_prefix), .fallback = "auto-",
     .help = "How those identifiers begin."},
    {KEY(SESSIONS, "upgrade_outgoing_qos"), GLOBAL(BOOL, upgrade_outgoing_qos),
     .fallback = "false",
     .help = "Delivers at the QoS of the subscription, even where the message came with a lower "
             "one."},

    {KEY(LIMITS, "memory_limit"), GLOBAL(UINT, memory_max), RANGE(0, BYTES_MAX), .fallback = "0",
     .unit = "bytes",
     .help = "Budget of all sessions, queues and retained messages; 0: three quarters of what "
             "the cgroup or the machine has, or all but 96 MiB of it where that is less; of less "
             "than 256 MiB it is 160 MiB times the square of the share that is granted; also when "
             "that changes."},
    {KEY(LIMITS, "global_max_connections"), GLOBAL(UINT, connections_max), RANGE(0, U32),
     .minus_one = true, .fallback = "0", .unit = "connections",
     .help = "Connections of all listeners; 0 or -1: no limit."},
    {KEY(LIMITS, "max_pending_handshakes"), GLOBAL(UINT, handshakes_max), RANGE(0, U32),
     .fallback = "10000", .unit = "connections",
     .help = "Connections whose TLS handshake, upgrade to a WebSocket or PROXY header is not "
             "complete, shared evenly by the workers. Beyond, the one that has waited longest for "
             "its peer makes room; 0: no limit."},
    {KEY(LIMITS, "max_connections_per_address"), GLOBAL(UINT, address_connections_max),
     RANGE(0, U32), .fallback = "0", .unit = "connections",
     .help = "Connections of one IPv4 address, or of one /64 of IPv6; behind a proxy that speaks "
             "the PROXY protocol, of the client's. For connections that come after it was set. "
             "0: no limit, because thousands may share the address of a gateway."},
    {KEY(LIMITS, "connect_rate"), GLOBAL(UINT, connect_rate), RANGE(0, U32), .fallback = "0",
     .unit = "CONNECTs",
     .help = "CONNECTs a second, and as many at once; more are refused. 0: no limit, because "
             "after a restart all clients come at once, and are best served at once."},
    {KEY(LIMITS, "connect_rate_per_address"), GLOBAL(UINT, address_connect_rate), RANGE(0, U32),
     .fallback = "0", .unit = "CONNECTs",
     .help = "The same for one address, as max_connections_per_address takes it."},
    {KEY(LIMITS, "flapping_max"), GLOBAL(UINT, flapping_max), RANGE(0, U32), .fallback = "0",
     .unit = "CONNECTs",
     .help = "A client identifier that connects from one address more often than this within "
             "flapping_window is banned from there. 0: never, because a bad network looks the "
             "same."},
    {KEY(LIMITS, "flapping_window"), GLOBAL(UINT, flapping_window_s), RANGE(1, 86400),
     .fallback = "60", .unit = "seconds", .help = "See flapping_max."},
    {KEY(LIMITS, "flapping_ban"), GLOBAL(UINT, flapping_ban_s), RANGE(1, U32), .fallback = "300",
     .unit = "seconds", .help = "How long such a client is banned."},
    {KEY(LIMITS, "max_login_failures"), GLOBAL(UINT, login_failures_max), RANGE(0, U32),
     .fallback = "1000", .unit = "failures",
     .help = "An address from which more logins than this fail within login_failure_window is "
             "banned, before anything is computed for it. More than any person mistypes, and "
             "room for many devices behind one address. 0: never."},
    {KEY(LIMITS, "login_failure_window"), GLOBAL(UINT, login_failure_window_s), RANGE(1, 86400),
     .fallback = "60", .unit = "seconds", .help = "See max_login_failures."},
    {KEY(LIMITS, "login_failure_ban"), GLOBAL(UINT, login_failure_ban_s), RANGE(1, U32),
     .fallback = "60", .unit = "seconds", .help = "How long such an address is banned."},
    {KEY(LIMITS, "max_topic_levels"), GLOBAL(UINT, topic_levels_max), RANGE(1, TOPIC_LEVELS_MAX),
     .fallback = "200", .unit = "levels",
     .help = "Levels that a topic or a filter may have. What a match costs grows with them."},
    {KEY(LIMITS, "max_subscribe_filters"), GLOBAL(UINT, subscribe_filters_max), RANGE(0, U32),
     .fallback = "10000", .unit = "filters",
     .help = "Filters that one SUBSCRIBE may bring; those beyond are refused. So many take some "
             "10 ms, for which others wait. 0: no limit."},
    {KEY(LIMITS, "global_max_clients"), GLOBAL(UINT, clients_max), RANGE(0, U32),
     .minus_one = true, .fallback = "0", .unit = "clients",
     .help = "Clients, connected or with a stored session; 0 or -1: no limit."},
    {KEY(LIMITS, "max_sessions"), GLOBAL(UINT, sessions_max), RANGE(0, U32), .fallback = "0",
     .unit = "sessions", .help = "Sessions that the broker keeps; 0: no limit."},
    {KEY(LIMITS, "max_packet_size"), GLOBAL(UINT, packet_size_max), RANGE(20, PACKET_MAX),
     .zero_is_max = true, .fallback = "2000000", .unit = "bytes",
     .help = "The largest packet that a client may send; 0: what MQTT allows."},
    {KEY(LIMITS, "max_connect_packet_size"), GLOBAL(UINT, connect_packet_size_max),
     RANGE(20, PACKET_MAX), .fallback = "300000", .unit = "bytes",
     .help = "The same for CONNECT, which anybody can send."},
    {KEY(LIMITS, "message_size_limit"), GLOBAL(UINT, payload_size_max), RANGE(0, PAYLOAD_MAX),
     .fallback = "0", .unit = "bytes",
     .help = "The largest payload of a message; 0: what fits in a packet."},
    {KEY(LIMITS, "max_output_bytes"), GLOBAL(UINT, output_bytes_max), RANGE(65536, BYTES_MAX),
     .fallback = "16777216", .unit = "bytes",
     .help = "Bytes that wait for a client that reads too slowly."},

    {KEY(RETAINED, "retain_available"), GLOBAL(BOOL, retain_available), .fallback = "true",
     .help = "Off, clients that publish with the retain flag are disconnected."},
    {KEY(RETAINED, "max_retained_messages"), GLOBAL(UINT, retained_messages_max),
     RANGE(0, BYTES_MAX), .fallback = "0", .unit = "messages",
     .help = "Retained messages that are kept; 0: no limit."},
    {KEY(RETAINED, "max_retained_bytes"), GLOBAL(UINT, retained_bytes_max), RANGE(0, BYTES_MAX),
     .fallback = "0", .unit = "bytes", .help = "The same in bytes; 0: no limit."},
    {KEY(RETAINED, "max_retained_message_size"), GLOBAL(UINT, retained_message_max),
     RANGE(0, PAYLOAD_MAX), .fallback = "0", .unit = "bytes",
     .help = "The largest payload of a retained message; 0: message_size_limit's."},
    {KEY(RETAINED, "retained_message_expiry"), GLOBAL(DURATION, retain_expiry_s), .never = 0,
     .fallback = "never", .help = "How long a retained message is kept at most."},

    {KEY(CLUSTER, "cluster_name"), GLOBAL(STRING, cluster.name), .fixed = true,
     .example = "works", .unit = "name",
     .help = "This broker is a node of the cluster with this name: what is published on one node "
             "reaches subscribers on all. Without it, it is alone."},
    {KEY(CLUSTER, "cluster_secret_file"), GLOBAL(STRING, cluster.secret_file), .fixed = true,
     .example = "/etc/ternmq/cluster.secret", .unit = "path",
     .help = "What nodes prove to each other, and encrypt by: a line of at least 16 characters; a "
             "second line is taken from others, too, while secrets are changed."},
    {KEY(CLUSTER, "node_name"), GLOBAL(STRING, cluster.node), .fixed = true,
     .example = "node-1", .unit = "name",
     .help = "For people; letters, digits, '-', '_' and '.'. Default: the host's name."},
    {KEY(CLUSTER, "cluster_bind"), GLOBAL(STRING, cluster.bind), .fixed = true,
     .example = "10.0.0.1:7946", .unit = "ADDRESS:PORT",
     .help = "Where other nodes come to, by UDP and TCP."},
    {KEY(CLUSTER, "cluster_advertise"), GLOBAL(STRING, cluster.advertise), .fixed = true,
     .example = "10.0.0.1:7946", .unit = "ADDRESS:PORT",
     .help = "What other nodes are told to reach this one by. Default: cluster_bind, which then "
             "has to be one address."},
    {KEY(CLUSTER, "advertise_host"), GLOBAL(STRING, cluster.advertise_host), .fixed = true,
     .check = config_check_advertise_host, .example = "mqtt-1.example.org", .unit = "HOST",
     .help = "The name or address by which clients reach this node: advertise of all listeners "
             "that do not say it, each with its port. Not of unix sockets, nor of those behind "
             "proxies."},
    {KEY(CLUSTER, "cluster_seeds"), GLOBAL(STRING, cluster.seeds), .fixed = true,
     .example = "10.0.0.2:7946 10.0.0.3:7946", .unit = "ADDRESS:PORT ...",
     .help = "Some nodes, which tell of the others. They need not be up."},
    {KEY(CLUSTER, "cluster_dns"), GLOBAL(STRING, cluster.dns), .fixed = true,
     .example = "ternmq.mqtt.svc.cluster.local", .unit = "NAME[:PORT]",
     .help = "A name whose addresses are the nodes, as a headless Service's in Kubernetes; looked "
             "up all the time. Default port: cluster_bind's."},
    {KEY(CLUSTER, "cluster_max_will_bytes"), GLOBAL(UINT, cluster.will_bytes_max),
     RANGE(0, BYTES_MAX), .fallback = "67108864", .unit = "bytes",
     .help = "Wills of other nodes' clients that are kept, in case these nodes die; 0: no limit. "
             "Those beyond it are not published if their node is never back."},
    {KEY(CLUSTER, "cluster_plain"), GLOBAL(BOOL, cluster.plain), .fixed = true,
     .fallback = "false",
     .help = "Messages between nodes are not encrypted by TLS, with keys that are made of the "
             "secret. The same on all nodes; for a network that nobody else can reach."},
    {KEY(PERSISTENCE, "persistence"), GLOBAL(BOOL, persistence), .fixed = true,
     .fallback = "false",
     .help = "Keeps sessions, their queues and retained messages on the disk. Off, they end with "
             "the process."},
    {KEY(PERSISTENCE, "persistence_location"), GLOBAL(STRING, persistence_location),
     .fixed = true, .example = "/var/lib/ternmq/", .unit = "folder",
     .help = "Where the store is. Default: the working folder."},
    {KEY(PERSISTENCE, "persistence_file"), GLOBAL(STRING, persistence_file), .fixed = true,
     .fallback = "ternmq.db", .unit = "name", .help = "The store's folder there."},
    {KEY(PERSISTENCE, "durability"), GLOBAL(CHOICE, durability), .fixed = true,
     .choices = "sync|async", .fallback = "sync",
     .help = "sync: an acknowledgement is sent when what it promises is on the disk. async: at "
             "once; a crash may take what came in the last durability_interval."},
    {KEY(PERSISTENCE, "durability_interval"), GLOBAL(UINT, durability_interval_ms), .fixed = true,
     RANGE(1, 60000), .fallback = "200", .unit = "milliseconds",
     .help = "With durability async, how often the disk is brought up to date."},
    {KEY(PERSISTENCE, "persistence_recovery"), GLOBAL(CHOICE, recovery), .fixed = true,
     .choices = "refuse|quarantine", .fallback = "refuse",
     .help = "A damaged store: refuse to start, or move it aside and start with an empty one."},
    {KEY(PERSISTENCE, "backup_location"), GLOBAL(STRING, backup_location),
     .example = "/var/backups/ternmq/", .unit = "folder",
     .help = "Where --backup puts its copies. Default: persistence_location."},

    {KEY(LOGGING, "log_dest"), GLOBAL_OWN(config_set_log_dest), .repeats = true,
     .example = "stderr", .unit = "stderr | stdout | syslog | file PATH | none",
     .help = "Where log lines go; repeat it for several. Default: stderr; syslog for a "
             "daemon."},
    {KEY(LOGGING, "log_type"), GLOBAL_OWN(config_set_log_type), .repeats = true,
     .example = "notice",
     .unit = "error | warning | notice | information | debug | subscribe | unsubscribe | "
             "websockets | internal | all | none",
     .help = "What is logged; repeat it for several. Default: error, warning, notice and "
             "information."},
    {KEY(LOGGING, "log_facility"), GLOBAL_OWN(config_set_log_facility), .example = "0",
     .unit = "0 to 7", .help = "The syslog facility local0 to local7. Default: daemon."},
    {KEY(LOGGING, "log_format"), GLOBAL(CHOICE, log.json), .choices = "text|json",
     .fallback = "text", .help = "Plain lines, or one JSON object per line."},
    {KEY(LOGGING, "log_timestamp"), GLOBAL(BOOL, log.timestamp), .fallback = "true",
     .help = "Begins each line with the time."},
    {KEY(LOGGING, "log_timestamp_format"), GLOBAL(STRING, log.timestamp_format),
     .example = "%Y-%m-%dT%H:%M:%S", .unit = "strftime",
     .help = "How the time is written. Default: seconds since 1970."},
    {KEY(LOGGING, "connection_messages"), GLOBAL(BOOL, connection_messages), .fallback = "true",
     .help = "Logs clients that come and go."},
    {KEY(LOGGING, "sys_interval"), GLOBAL(UINT, sys_interval_s), RANGE(0, U16), .fallback = "10",
     .unit = "seconds", .help = "How often the $SYS topics are published; 0: never."},

    {KEY(HTTP, "http_listener"), GLOBAL(STRING, http_listener), .fixed = true,
     .check = config_check_http_listener, .example = "9883", .unit = "[ADDRESS:]PORT",
     .help = "Serves /livez, /readyz, /startupz and /metrics over HTTP, to anybody who can reach "
             "it: on this machine alone, unless an address says otherwise (0.0.0.0:9883, "
             "[::]:9883). Default: not at all."},
    {KEY(HTTP, "metrics_alias"), GLOBAL(CHOICE, metrics_alias),
     .choices = "none|mosquitto|emqx|both", .fixed = true, .fallback = "none", // as bits
     .help = "Metrics that mean the same have the names of sapcc/mosquitto-exporter "
             "(broker_...), of EMQX (emqx_...) or of both as well, for dashboards that know "
             "these."},

    {KEY(PROCESS, "workers"), GLOBAL(UINT, workers), RANGE(0, 64), .fixed = true, .fallback = "0",
     .unit = "threads", .help = "Worker threads; 0: as many as the CPUs that the cgroup grants."},
    {KEY(PROCESS, "gather_workers"), GLOBAL(BOOL, gather_workers), .fixed = true,
     .fallback = "true",
     .help = "One worker does the work of all while it has time for it, or another one would "
             "find no CPU, which costs less."},
    {KEY(PROCESS, "io"), GLOBAL(CHOICE, io), .choices = "auto|uring|epoll", .fixed = true,
     .fallback = "auto",
     .help = "How the kernel is asked for input and output. auto: io_uring, or epoll, with a "
             "warning, where io_uring is forbidden, as in many containers, or too old. uring does "
             "not start there; epoll does not ask for io_uring."},
    {KEY(PROCESS, "user"), GLOBAL(STRING, user), .fixed = true, .example = "ternmq",
     .unit = "name",
     .help = "Whom the broker becomes when root starts it. Default: ternmq, where that user "
             "exists."},
    {KEY(PROCESS, "pid_file"), GLOBAL(STRING, pid_file), .fixed = true,
     .example = "/run/ternmq.pid", .unit = "path",
     .help = "Where the process number is written."},
    {KEY(PROCESS, "control_socket"), GLOBAL(STRING, control_socket), .fixed = true,
     .check = config_check_control_socket, .example = "/run/ternmq/control.sock", .unit = "path",
     .help = "Where ternmqctl asks the broker: for its clients, subscriptions, retained messages "
             "and nodes, and for copies and reloads. Root and the broker's own user may. The "
             "folder is one in which that user may make files. Default: nowhere."},
    {KEY(PROCESS, "include_dir"), GLOBAL_OWN(config_set_include_dir), .repeats = true,
     .example = "/etc/ternmq/conf.d", .unit = "folder",
     .help = "Reads the *.conf files of this folder, sorted by name, at this place."},

    // Harmless without.
    IGNORED("autosave_interval", "there is no periodic save"),
    IGNORED("autosave_on_changes", "there is no periodic save"),
    IGNORED("allow_duplicate_messages",
            "overlapping subscriptions give one copy, or one per subscription identifier"),
    IGNORED("check_retain_source", "it concerns access rules, which this version does not have"),
    IGNORED("max_inflight_bytes",
            "max_inflight_messages and max_output_bytes bound what is on its way"),
    IGNORED("max_topic_alias_broker", "the broker uses the aliases that a client allows"),
    IGNORED("packet_buffer_size", "buffers are sized by need"),
    IGNORED("retain_expiry_interval", "expired retained messages are removed when they expire"),
    IGNORED("retry_interval", "messages are sent again when a client reconnects, as MQTT asks"),
    IGNORED("store_clean_interval", "messages are freed when nobody needs them"),
    IGNORED("websockets_log_level", "there is no libwebsockets whose messages it would choose"),
    IGNORED("dhparamfile", "keys are exchanged over elliptic curves alone"),
    IGNORED("enable_control_api", "there is no control API"),

    // Whoever writes these expects them to hold; to go on without would be less safe than asked.
    LATER("tls_engine", "engines of OpenSSL"),
    LATER("tls_engine_kpass_sha1", "engines of OpenSSL"),
    LATER("tls_keyform", "engines of OpenSSL"),
    LATER_BOOL("disable_client_cert_date_checks", "certificates that have expired"),
    LATER_BOOL("proxy_protocol_v2_require_tls", "that demand of the PROXY protocol"),
    LATER("accept_protocol_versions", "a choice of protocol versions"),
    LATER("auth_plugin", "plugins"),
    LATER("auth_opt_*", "plugins"),
    LATER("auth_plugin_deny_special_chars", "plugins"),
    LATER("plugin_load", "plugins"),
    LATER("plugin_use", "plugins"),
    LATER("plugin_opt_*", "plugins"),
    LATER("global_plugin", "plugins"),
    LATER("bind_interface", "binding to a network interface"),
    LATER("clientid_prefixes", "a choice of client identifiers"),
    LATER("http_dir", "serving files"),
    LATER("mount_point", "mount points"),
    LATER("listener_allow_anonymous", "that key; use per_listener_settings and allow_anonymous"),
    LATER("listener_auto_id_prefix", "that key; use auto_id_prefix"),

    BRIDGE("connection"),
    BRIDGE("address"),
    BRIDGE("addresses"),
    BRIDGE("bridge_*"),
    BRIDGE("cleansession"),
    BRIDGE("local_cleansession"),
    BRIDGE("clientid"),
    BRIDGE("remote_clientid"),
    BRIDGE("local_clientid"),
    BRIDGE("username"),
    BRIDGE("remote_username"),
    BRIDGE("local_username"),
    BRIDGE("password"),
    BRIDGE("remote_password"),
    BRIDGE("local_password"),
    BRIDGE("idle_timeout"),
    BRIDGE("keepalive_interval"),
    BRIDGE("notifications"),
    BRIDGE("notifications_local_only"),
    BRIDGE("notification_topic"),
    BRIDGE("restart_timeout"),
    BRIDGE("round_robin"),
    BRIDGE("start_type"),
    BRIDGE("threshold"),
    BRIDGE("topic"),
    BRIDGE("try_private"),
};
// clang-format on

const uint32_t config_key_count = ARRAY_LEN(config_keys);
_Static_assert(ARRAY_LEN(config_keys) <= CONFIG_KEYS_MAX, "struct config_loader has room for all");

static bool
key_matches(const struct config_key *key, struct slice name)
{
    size_t len = strlen(key->name);
    must(len > 0 && len <= CONFIG_KEY_NAME_MAX);
    if (key->name[len - 1] != '*')
        return len == name.len && memcmp(key->name, name.data, len) == 0;
    return name.len >= len - 1 && memcmp(key->name, name.data, len - 1) == 0;
}

const struct config_key *
config_key_find(struct slice name)
{
    for (uint32_t i = 0; i < config_key_count; i++)
        if (key_matches(&config_keys[i], name))
            return &config_keys[i];
    return NULL;
}

// How many letters must be added, dropped, changed or swapped with their neighbour.
static uint32_t
edit_distance(struct slice a, struct slice b)
{
    must(a.len <= CONFIG_KEY_NAME_MAX && b.len <= CONFIG_KEY_NAME_MAX);
    uint32_t rows[3][CONFIG_KEY_NAME_MAX + 1];
    for (uint32_t j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (uint32_t i = 1; i <= a.len; i++) {
        uint32_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        row[0] = i;
        for (uint32_t j = 1; j <= b.len; j++) {
            uint32_t change = above[j - 1] + (a.data[i - 1] != b.data[j - 1]);
            row[j] = min_u32(change, min_u32(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] && a.data[i - 2] == b.data[j - 1])
                row[j] = min_u32(row[j], before[j - 2] + 1);
        }
    }
    must(rows[a.len % 3][b.len] <= max_u32(a.len, b.len));
    return rows[a.len % 3][b.len];
}

const struct config_key *
config_key_nearest(struct slice name)
{
    if (name.len > CONFIG_KEY_NAME_MAX)
        return NULL;
    const struct config_key *best = NULL;
    uint32_t best_distance = max_u32(2, name.len / 3) + 1; // further away is no help
    for (uint32_t i = 0; i < config_key_count; i++) {
        struct slice other = slice_str(config_keys[i].name);
        if (max_u32(name.len, other.len) - min_u32(name.len, other.len) >= best_distance)
            continue; // so many letters must be added at least
        uint32_t distance = edit_distance(name, other);
        if (distance < best_distance) {
            best = &config_keys[i];
            best_distance = distance;
        }
    }
    return best;
}
