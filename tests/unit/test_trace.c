// test_trace.c - what shards record of clients and topics for who watches, and that it ends.
#include "core/base/mem.h"

#include "core/codec.h"
#include "core/control.h"
#include "core/trace.h"
#include "core/trace_record.h"
#include "tests/sim/expect.h"

enum { SHARDS = 2 };

static struct sim *sim;
static struct control_question question;
static struct trace *traces[TRACES_MAX];

static void
set_up(void)
{
    sim = sim_new(SHARDS, sim_config());
    sim->broker->control = control_desk_new(SHARDS);
    cr_assert_not_null(sim->broker->control);
}

// Whatever a test leaves: shards forget what has ended, and hold no memory of it.
static void
tear_down(void)
{
    struct control_desk *desk = sim->broker->control;
    control_rows_free(&question.rows);
    for (unsigned i = 0; i < TRACES_MAX; i++)
        trace_end(traces[i]);
    sim_settle(sim);
    for (unsigned i = 0; i < SHARDS; i++) {
        cr_assert_null(sim->broker->shards[i]->watching);
        cr_assert_eq(sim->broker->shards[i]->verbatim_below, SHARD_VERBATIM_BELOW);
    }
    end_empty(sim);
    control_desk_free(desk);
}

TestSuite(trace, .init = set_up, .fini = tear_down);

// Puts the trace there, or fetches what it has.
static void
ask(struct trace *trace, unsigned shard, bool last)
{
    control_rows_free(&question.rows);
    question = (struct control_question){.kind = CONTROL_TRACE,
                                         .trace = trace,
                                         .last = last,
                                         .rows_max = UINT32_MAX,
                                         .bytes_max = UINT32_MAX};
    control_give(sim->broker, shard, &question);
    sim_settle(sim);
    cr_assert(control_is_done(&question));
}

static struct trace *
watch(unsigned place, enum trace_kind kind, const char *text)
{
    traces[place] = trace_new(&(struct trace_options){
        .kind = kind, .text = slice_str(text), .until_ms = sim->now_ms + 60000});
    for (unsigned i = 0; i < SHARDS; i++)
        ask(traces[place], i, false);
    return traces[place];
}

// The records' types by letters: of what comes small ones, of what goes large ones.
static const char *
fetched(struct trace *trace, unsigned shard)
{
    static const char letters[] = "-cCpaerosSuUqQda"; // by type, from 0 on
    static char text[200];
    struct trace_record record;
    unsigned count = 0;
    ask(trace, shard, false);
    for (uint32_t at = 0; trace_record_next(&question.rows, &at, &record); count++) {
        cr_assert_lt(count, sizeof text - 1);
        char letter = letters[record.type];
        text[count] = (char)(record.way == TRACE_OUT && letter >= 'a' ? letter - 32 : letter);
    }
    text[count] = '\0';
    return text;
}

Test(trace, a_client_from_its_connect_on)
{
    unsigned home = broker_home(sim->broker, slice_str("one"));
    struct trace *trace = watch(0, TRACE_CLIENT, "one");
    struct sim_conn *other = sim_connect(sim, &(struct sim_connect){.id = "other"});
    struct sim_conn *one =
        sim_connect(sim, &(struct sim_connect){.id = "one", .user = "u", .password = "geheim"});
    subscribed(sim, one, "a", 1);
    publish_text(one, "a", 1, "geheim");
    publish_text(other, "a", 0, "geheim");
    sim_settle(sim);
    cr_assert_str_eq(fetched(trace, home), "cCsSpPAP");
    const void *secret = memmem(question.rows.bytes, question.rows.len, "geheim", strlen("geheim"));
    cr_assert_null(secret);
    cr_assert_str_eq(fetched(trace, home), "", "once");
    cr_assert_str_eq(fetched(trace, 1 - home), "");
    sim_close(one, 0);
    sim_settle(sim);
    cr_assert_str_eq(fetched(trace, home), "-");
}

Test(trace, topics_on_all_shards_and_what_is_not_watched_goes_as_ever)
{
    struct trace *trace = watch(0, TRACE_TOPIC, "a/#");
    struct sim_conn *subs[SHARDS], *pub = sim_connect(sim, &(struct sim_connect){.id = "pub"});
    unsigned home = broker_home(sim->broker, slice_str("pub")), records = 0;
    for (unsigned i = 0; i < SHARDS; i++) {
        subs[i] = sim_connect(sim, &(struct sim_connect){.id = id_on(sim, i)});
        subscribed(sim, subs[i], "#", 0);
    }
    for (unsigned i = 0; i < 10; i++) { // two runs
        publish_number(pub, i < 5 ? "a/b" : "b", 0, i);
    }
    sim_settle(sim);
    for (unsigned i = 0; i < SHARDS; i++)
        for (unsigned n = 0; n < 10; n++)
            (void)expect_number(subs[i], 0, n);
    for (unsigned i = 0; i < SHARDS; i++) {
        struct trace_record record;
        ask(trace, i, false);
        for (uint32_t at = 0; trace_record_next(&question.rows, &at, &record); records++) {
            cr_assert(record.type == MQTT_PUBLISH && slice_equal(record.topic, slice_str("a/b")));
            cr_assert_eq(record.way == TRACE_IN, slice_equal(record.client, slice_str("pub")));
        }
        cr_assert_eq(question.rows.count, i == home ? 10 : 5);
    }
    cr_assert_eq(records, 15);
}

Test(trace, what_is_not_fetched_is_counted)
{
    struct trace *trace = watch(0, TRACE_TOPIC, "#");
    struct sim_conn *pub = sim_connect(sim, &(struct sim_connect){.id = "pub"});
    unsigned home = broker_home(sim->broker, slice_str("pub"));
    enum { MANY = 5000 };
    for (unsigned i = 0; i < MANY; i++)
        publish_text(pub, "a", 0, "x");
    sim_settle(sim);
    ask(trace, home, false);
    cr_assert_gt(question.lost, 0);
    cr_assert_eq(question.rows.count + question.lost, MANY);
    cr_assert_leq(question.rows.len, TRACE_BYTES_MAX + 8 * TRACE_TEXT_MAX);
    publish_text(pub, "a", 0, "x");
    sim_settle(sim);
    ask(trace, home, false);
    cr_assert(question.lost == 0 && question.rows.count == 1);
}

Test(trace, several_at_once_until_their_time_is_over)
{
    struct trace *one = watch(0, TRACE_CLIENT, "one"), *all = watch(1, TRACE_TOPIC, "+");
    struct trace *same = watch(2, TRACE_CLIENT, "one");
    unsigned home = broker_home(sim->broker, slice_str("one"));
    struct sim_conn *conn = sim_connect(sim, &(struct sim_connect){.id = "one"});
    publish_text(conn, "a", 0, "x");
    sim_settle(sim);
    cr_assert_str_eq(fetched(one, home), "cCp");
    cr_assert_str_eq(fetched(same, home), "cCp");
    cr_assert_str_eq(fetched(all, home), "p");
    trace_end(traces[2]);
    traces[2] = NULL;
    sim_tick(sim, 60000);
    publish_text(conn, "a", 0, "x");
    sim_settle(sim);
    cr_assert_str_eq(fetched(one, home), "");
    cr_assert_str_eq(fetched(all, home), "");
}

Test(trace, the_busiest_topics_with_runs_and_prefixes)
{
    struct sim_conn *pub = sim_connect(sim, &(struct sim_connect){.id = "pub"});
    unsigned home = broker_home(sim->broker, slice_str("pub"));
    uint64_t messages = 0, bytes = 0;
    traces[0] = trace_new(
        &(struct trace_options){.kind = TRACE_TOP, .until_ms = sim->now_ms + 1000, .levels = 2});
    ask(traces[0], home, false);
    for (unsigned i = 0; i < 100; i++) // a run at QoS 0, and one at QoS 1
        publish_number(pub, "a/b/c", i >= 50, i);
    publish_text(pub, "a/b", 0, "123");
    publish_text(pub, "a", 0, "");
    sim_settle(sim);
    ask(traces[0], home, false);
    cr_assert_eq(question.rows.count, 0, "its time is not over");
    sim_tick(sim, 1000);
    publish_text(pub, "late", 0, "");
    sim_settle(sim);
    ask(traces[0], home, true);
    cr_assert_eq(question.rows.count, 2);
    struct control_row row;
    for (uint32_t at = 0; control_rows_next(&question.rows, &at, &row);) {
        bool two = slice_equal(row.topic, slice_str("a/b"));
        cr_assert(two || slice_equal(row.topic, slice_str("a")));
        cr_assert(row.weight == row.messages_in && row.over == 0);
        messages += two ? row.messages_in : 0;
        bytes += two ? row.messages_out : 0;
    }
    cr_assert_eq(messages, 101);
    cr_assert_eq(bytes, 10 + 90 * 2 + 3);
}

Test(trace, a_shard_that_ends_lets_go_of_its_traces)
{
    (void)watch(0, TRACE_TOPIC, "#");
    struct sim *other = sim_new(1, sim_config());
    other->broker->control = sim->broker->control;
    control_rows_free(&question.rows);
    question.rows_max = question.bytes_max = UINT32_MAX;
    question.trace = traces[0];
    cr_assert(trace_take(&question, other->broker->shards[0]));
    other->broker->control = NULL;
    end_empty(other); // under the address sanitizer: nothing is left, nothing is freed twice
}

// ---- Records ------------------------------------------------------------------------------------

// Packets are described before they are checked.
Test(trace, no_packet_is_too_bad_to_be_described)
{
    unsigned seed = 7;
    uint8_t bytes[300];
    for (unsigned round = 0; round < 200000; round++) {
        for (unsigned i = 0; i < sizeof bytes; i++) {
            seed = seed * 1103515245u + 12345u;
            bytes[i] = (uint8_t)(seed >> (seed >> 30 ? 26 : 16)); // often small
        }
        uint32_t len = (seed >> 8) % (sizeof bytes + 1);
        struct frame frame = {.type = round % 16,
                              .flags = bytes[0] & 15,
                              .body = slice_of(bytes, len),
                              .total = len + 2};
        struct trace_room room;
        struct trace_record record, again;
        struct control_rows rows = {0};
        uint32_t at = 0, number;
        trace_describe(&frame, len + round % 3, round % 2 ? MQTT_5 : MQTT_311, &room, &record);
        record.client = slice_str("a");
        trace_record_add(&rows, &record);
        cr_assert(trace_record_next(&rows, &at, &again) && again.type == record.type);
        cr_assert(slice_equal(again.props, record.props) && again.list.len <= TRACE_TEXT_MAX);
        enum mqtt_property id;
        struct slice rest = again.props, text;
        while (trace_next_prop(&rest, &id, &number, &text))
            cr_assert(id != PROP_AUTH_DATA && text.len <= TRACE_VALUE_MAX);
        uint8_t options;
        rest = again.list;
        bool filters = frame.type == MQTT_SUBSCRIBE || frame.type == MQTT_UNSUBSCRIBE;
        while (filters && trace_next_filter(&rest, frame.type, &text, &options))
            cr_assert(text.len <= TRACE_TEXT_MAX);
        cr_assert(!filters || rest.len == 0, "filters are whole");
        control_rows_free(&rows);
    }
}
