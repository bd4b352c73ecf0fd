// store_checker.c - recovers a store and says what it has, for tests/powercut.
//
//   store_checker [recover] FOLDER
//
// Prints `have X` for each item that it finds (store_items.h); fails when the store is damaged, a
// payload is not what it was, or the recovered store does not stand a second look. recover: opens
// it and no more, without child processes, for a second power cut in the middle of that.
#include <stdlib.h>

#include "persist/store.h"
#include "tests/powercut_store/store_items.h"

static void
have(const char *item)
{
    printf("have %s\n", item);
}

static bool
is_payload(struct slice payload, uint64_t number)
{
    if (payload.len != item_payload_len(number))
        return false;
    for (uint32_t i = 0; i < payload.len; i++)
        if (payload.data[i] != item_byte(number, i))
            return false;
    return true;
}

static err_t
look(void *arg, const struct record *r)
{
    char item[ITEM_BYTES], topic[16];
    (void)arg;
    switch (r->kind) {
    case JOURNAL_SESSION:
        item_session(item, r->session);
        break;
    case JOURNAL_SUBSCRIBE:
        item_subscription(item, r->session, r->ordinal);
        break;
    case JOURNAL_RECEIVED:
        item_received(item, r->session, r->packet_id);
        break;
    case JOURNAL_ENQUEUE:
        item_entry(item, r->session, r->seq);
        break;
    case JOURNAL_RETAIN:
        (void)snprintf(topic, sizeof topic, "%.*s", (int)min_u32(r->msg.topic.len, 15),
                       (const char *)r->msg.topic.data);
        item_retained(item, topic, r->order);
        if (!is_payload(r->msg.payload, r->order))
            return ERR_MALFORMED;
        break;
    case JOURNAL_MESSAGE:
        return is_payload(r->msg.payload, r->message) ? OK : ERR_MALFORMED;
    default:
        return OK;
    }
    have(item);
    return OK;
}

static struct store *
open_store(const char *folder, bool verify)
{
    char problem[STORE_PROBLEM_MAX];
    struct store *store;
    struct store_options options = {
        .folder = folder, .name = STORE_NAME, .verify_in_child = verify};
    if (store_open(&options, &store, problem) == OK)
        return store;
    (void)fprintf(stderr, "store_checker: %s\n", problem);
    exit(1);
}

int
main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    bool recover = argc > 2 && strcmp(argv[1], "recover") == 0;
    struct store *store = open_store(argv[argc - 1], !recover);
    if (!recover && store_export(store, look, NULL) != OK) {
        (void)fprintf(stderr, "store_checker: not what was stored\n");
        return 1;
    }
    store_close(store);
    if (!recover)
        store_close(open_store(argv[argc - 1], true));
    return 0;
}
