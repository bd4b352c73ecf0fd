// main.c - ternmq-bench: loads an MQTT broker, measures it, checks it.
#include <stdio.h>

#include "core/base/mem.h"

#include "bench/agent.h"
#include "bench/options.h"
#include "bench/report.h"
#include "bench/run.h"

#define EXIT_GOOD       0
#define EXIT_BROKEN     1 // the broker did not keep what the QoS promises
#define EXIT_IMPOSSIBLE 2

int
main(int argc, char **argv)
{
    struct options options;
    if (options_parse(argc, argv, &options) != OK)
        return EXIT_IMPOSSIBLE;
    if (options.help) {
        options_help();
        options_free(&options);
        return EXIT_GOOD;
    }
    if (options.agent[0] != '\0') {
        int ended = agent_serve(&options) == OK ? EXIT_GOOD : EXIT_IMPOSSIBLE;
        options_free(&options);
        return ended;
    }
    struct result *result = mem_zalloc(sizeof *result);
    int status = EXIT_GOOD;
    if (run_execute(&options, result) != OK) {
        (void)fprintf(stderr, "ternmq-bench: %s\n", result->failure);
        status = EXIT_IMPOSSIBLE;
    } else {
        report_print(&options, result);
        if (!options.tolerate && !run_good(&options, result))
            status = EXIT_BROKEN;
    }
    mem_free(result);
    options_free(&options);
    return status;
}
