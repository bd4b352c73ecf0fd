// main_notify.c - what systemd is told: the broker serves, lives, and how it does, in a line.
#include <stdio.h>

#include "core/base/clock.h"

#include "core/broker.h"
#include "core/figures.h"
#include "core/main.h"
#include "http/health.h"

#define STATUS_MAX 256

// What `systemctl status` shows.
static void
write_status(const struct server *server, char ret_text[STATUS_MAX])
{
    struct figures figures;
    figures_gather(server->broker, clock_mono_ms(), &figures);
    bool refused =
        figures.config_reload_failed || figures.tls_reload_failed || figures.access_reload_failed;
    int len = snprintf(ret_text, STATUS_MAX, "Connected clients: %llu; workers: %u; %s%s%s%s%s",
                       (unsigned long long)figures.clients_connected, server->worker_count,
                       broker_io_name(server->broker),
                       drain_is_on(&server->broker->drain) ? "; draining" : "",
                       figures.governor_level > 0 ? "; memory is short" : "",
                       figures.failing > 0 ? "; the store cannot be written" : "",
                       refused ? "; the last reload was refused, the log says why" : "");
    must(len > 0 && len < STATUS_MAX);
}

static void
tell(const struct server *server, const char *state)
{
    char status[STATUS_MAX], text[STATUS_MAX + 32];
    write_status(server, status);
    int len = snprintf(text, sizeof text, "%s\nSTATUS=%s", state, status);
    must(len > 0 && (size_t)len < sizeof text);
    process_notify(text);
}

void
main_notify_ready(const struct server *server)
{
    must(server->serving_ms > 0);
    tell(server, "READY=1");
}

void
main_notify_alive(const struct server *server)
{
    const struct health_view view = {
        .stage = HEALTH_SERVING,
        .broker = server->broker,
        .serving_ms = server->serving_ms,
        .now_ms = clock_mono_ms(),
    };
    struct health health;
    must(server->serving_ms > 0);
    health_live(&view, &health);
    if (health.good) {
        tell(server, "WATCHDOG=1");
        return;
    }
    char text[HEALTH_TEXT_MAX + 16];
    (void)snprintf(text, sizeof text, "STATUS=%s", health.text); // which ends the line
    process_notify(text);
}
