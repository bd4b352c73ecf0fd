// client_dial.c - a connection to another node begins: this broker is a client there.
#include <stdio.h>

#include "core/base/mem.h"

#include "core/broker.h"
#include "core/client.h"
#include "core/client_handlers.h"
#include "core/client_out.h"
#include "core/cluster.h"
#include "core/mqtt.h"
#include "core/shard.h"

// The other node remembers which QoS 2 messages it has for as long as we may send them again.
#define EXPIRY_S 0xffffffffu
// Beside the texts: fixed header, protocol, flags, keep alive, properties, lengths.
#define HELLO_HEAD 64u

static uint8_t *
put_text(uint8_t *at, struct slice root, struct slice text)
{
    size_t len = (size_t)root.len + text.len;
    must(len <= UINT16_MAX);
    at[0] = (uint8_t)(len >> 8);
    at[1] = (uint8_t)len;
    memcpy(at + 2, root.data, root.len);
    if (text.len > 0)
        memcpy(at + 2 + root.len, text.data, text.len);
    return at + 2 + len;
}

// MQTT 5, no clean start, no keep alive: who lives is gossip's to say.
void
client_put_hello(struct client *client, const char *root, struct slice id, const char *user,
                 const char *password)
{
    size_t size = HELLO_HEAD + strlen(root) + id.len + strlen(user) + strlen(password);
    uint8_t *packet = mem_alloc(size), *body = packet + 5, *at = body, *head = body;
    at = put_text(at, slice_str("MQTT"), (struct slice){0});
    *at++ = MQTT_5;
    *at++ = 0xc0; // user name and password
    *at++ = 0;
    *at++ = 0;
    *at++ = 5; // bytes of properties
    *at++ = PROP_SESSION_EXPIRY;
    for (unsigned shift = 32; shift > 0; shift -= 8)
        *at++ = (uint8_t)(EXPIRY_S >> (shift - 8));
    at = put_text(at, slice_str(root), id);
    at = put_text(at, slice_str(user), (struct slice){0});
    at = put_text(at, slice_str(password), (struct slice){0});
    uint32_t len = (uint32_t)(at - body), bytes = 1;
    for (uint32_t rest = len; rest >= 128; rest >>= 7)
        bytes++;
    head -= bytes;
    for (uint32_t i = 0, rest = len; i < bytes; i++, rest >>= 7)
        head[i] = (uint8_t)((rest & 127) | (i + 1 < bytes ? 128 : 0));
    *--head = MQTT_CONNECT << 4;
    must(head >= packet && (size_t)(at - packet) <= size);
    client_put_packet(client, slice_of(head, (size_t)(at - head)));
    mem_wipe(packet, size);
    mem_free(packet);
}

void
client_dial(struct client *client, const struct node_dialled *dialled)
{
    struct cluster *cluster = client->shard->broker->cluster;
    must(client->magic == CLIENT_MAGIC && client->state == CLIENT_AWAIT_CONNECT && cluster);
    client->will_on_close = false;
    client->version = MQTT_5;
    client->link = LINK_OUT;
    if (dialled->token == 0) {
        (void)snprintf(client->peer, sizeof client->peer, NODE_TO "%s", dialled->id);
        client_put_hello(client, NODE_FROM, slice_str(cluster->id), cluster->hello,
                         dialled->password);
        return;
    }
    struct client *waiting = cluster->ops->reached(cluster, client->shard, dialled->token);
    if (waiting)
        client_relay_join(waiting, client, dialled);
    else
        client_close(client, OK); // it has gone
}
