// config_http.h - where health and metrics are served, as the configuration writes it.
//
// Job:    takes http_listener's value apart. Owner: nobody. Thread: any. Memory: none.
// Limits: a host of 253 bytes, as names have.
#ifndef TERN_CORE_CONFIG_HTTP_H
#define TERN_CORE_CONFIG_HTTP_H

#include "core/base/base.h"

// metrics_alias, as bits: whose names metrics have beside their own.
#define CONFIG_ALIAS_MOSQUITTO 1u // of mosquitto's exporter
#define CONFIG_ALIAS_EMQX      2u

// "9883", "10.0.0.1:9883", "[::1]:9883", "name:9883". An empty host stands for this machine alone;
// it borrows from value. False: it is none of these.
bool config_http_address(struct slice value, struct slice *ret_host, uint16_t *ret_port);

#endif
