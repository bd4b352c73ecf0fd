// ctl_status.c - ternmqctl status: the broker on one screen.
#include <inttypes.h>
#include <time.h>

#include "core/base/clock.h"

#include "ctl/ctl_run.h"

// Messages a second are those of this time.
#define SECOND_MS 1000

static uint64_t
figure(const json_t *answer, const char *name)
{
    return number_in(json_object_get(answer, "figures"), name);
}

static bool
has_figure(const json_t *answer, const char *name)
{
    return json_object_get(json_object_get(answer, "figures"), name) != NULL;
}

static void
say_listeners(const json_t *answer)
{
    const json_t *list = json_object_get(answer, "listeners");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *listener = json_array_get(list, i);
        struct slice name = text_in(listener, "listener");
        must(name.data != NULL);
        say("listener", "%.*s: %" PRIu64 " connections", (int)name.len, (const char *)name.data,
            number_in(listener, "connections"));
    }
}

static void
say_traffic(const json_t *before, const json_t *answer, uint64_t ms)
{
    static const char in[] = "publish/messages/received", out[] = "publish/messages/sent";
    must(ms > 0);
    say("clients", "%" PRIu64 " connected, %" PRIu64 " sessions, %" PRIu64 " subscriptions",
        figure(answer, "clients/connected"), figure(answer, "clients/total"),
        figure(answer, "subscriptions/count"));
    say("messages/s", "%" PRIu64 " in, %" PRIu64 " out",
        (figure(answer, in) - figure(before, in)) * 1000 / ms,
        (figure(answer, out) - figure(before, out)) * 1000 / ms);
    say("messages", "%" PRIu64 " in, %" PRIu64 " out, %" PRIu64 " retained", figure(answer, in),
        figure(answer, out), figure(answer, "retained messages/count"));
    say("queued", "%" PRIu64 " messages, %" PRIu64 " bytes", figure(answer, "store/messages/count"),
        figure(answer, "store/messages/bytes"));
    say("dropped", "%" PRIu64, figure(answer, "publish/messages/dropped"));
    say("refused", "%" PRIu64 " connections, %" PRIu64 " messages",
        figure(answer, "refused/connections"), figure(answer, "refused/publish"));
}

static void
say_memory(const json_t *answer)
{
    uint64_t limit = number_in(answer, "memory_limit"), used = figure(answer, "heap/current");
    if (limit > 0)
        say("memory", "%" PRIu64 " MiB of %" PRIu64 ", level %" PRIu64, used >> 20, limit >> 20,
            figure(answer, "governor/level"));
    else
        say("memory", "%" PRIu64 " MiB, no limit", used >> 20);
}

static void
say_store(const json_t *answer)
{
    must(json_is_object(answer));
    if (!true_in(answer, "persistence"))
        say("persistence", "off");
    else
        say("persistence", "on, log of %" PRIu64 " KiB%s",
            figure(answer, "persistence/log bytes") >> 10,
            figure(answer, "persistence/failing") ? ", FAILING" : "");
    bool failed = figure(answer, "config/reload failed") > 0 ||
                  figure(answer, "tls/reload failed") > 0 ||
                  figure(answer, "access/reload failed") > 0;
    if (failed)
        say("reload", "the last one failed: see the log");
    if (has_figure(answer, "tls/certificate days left"))
        say("certificate", "%" PRIu64 " days left", figure(answer, "tls/certificate days left"));
}

static int
say_cluster(struct run *run, const json_t *answer)
{
    json_t *cluster;
    uint64_t alive = 0;
    must(json_is_object(answer));
    if (!true_in(answer, "cluster")) {
        say("cluster", "no");
        return EXIT_DONE;
    }
    int code = ask(run, request_of("cluster"), ANSWER_MS, &cluster);
    if (code != EXIT_DONE)
        return code;
    const json_t *nodes = json_object_get(cluster, "nodes");
    for (size_t i = 0; i < json_array_size(nodes); i++)
        alive += slice_equal(text_in(json_array_get(nodes, i), "state"), slice_str("alive"));
    say("cluster", "%" PRIu64 " of %zu nodes alive, %" PRIu64 " links up", alive,
        json_array_size(nodes), number_in(cluster, "links_up"));
    json_decref(cluster);
    return EXIT_DONE;
}

static void
print_figures(struct run *run, const json_t *answer)
{
    static const char *const heads[] = {"FIGURE", "VALUE"};
    const char *name;
    json_t *value;
    must(run->table == NULL);
    (void)fputc('\n', stdout);
    run->table = ctl_table_new(heads, ARRAY_LEN(heads));
    json_object_foreach(json_object_get(answer, "figures"), name, value)
    {
        if (json_integer_value(value) == 0)
            continue;
        ctl_table_text(run->table, slice_str(name));
        ctl_table_number(run->table, (uint64_t)json_integer_value(value));
    }
    ctl_table_print(run->table, stdout);
}

int
show_status(struct run *run)
{
    json_t *before, *answer;
    const uint64_t start_ms = clock_mono_ms();
    int code = ask(run, request_of("status"), ANSWER_MS, &before);
    if (code != EXIT_DONE)
        return code;
    if (run->options->json) {
        print_json(before);
        json_decref(before);
        return EXIT_DONE;
    }
    const struct timespec second = {.tv_sec = SECOND_MS / 1000};
    (void)nanosleep(&second, NULL);
    code = ask(run, request_of("status"), ANSWER_MS, &answer);
    if (code == EXIT_DONE) {
        say_text("version", text_in(answer, "version"));
        say_number("pid", answer, "pid");
        say_duration("uptime", number_in(answer, "uptime_s"));
        say_number("workers", answer, "workers");
        say_text("io", text_in(answer, "io"));
        say_listeners(answer);
        say_traffic(before, answer, max_u64(clock_mono_ms() - start_ms, 1));
        say_memory(answer);
        say_store(answer);
        say_away(answer);
        code = say_cluster(run, answer);
        if (run->options->all)
            print_figures(run, answer);
    }
    json_decref(answer);
    json_decref(before);
    return code;
}
