// probe.c - may we run here at all, and if not, what can be done about it?
#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "io/uring.h"
#include "io/worker.h"

static void
explain(const struct uring_probe *probe, struct worker_features *ret)
{
    struct utsname host = {.release = "?"};
    (void)uname(&host);
    if (probe->setup || probe->error == EINVAL)
        (void)snprintf(ret->text, sizeof ret->text,
                       "Linux %.30s is too old: io_uring with deferred task running needs Linux 6.1"
                       " or later",
                       host.release);
    else if (probe->error == ENOSYS || probe->error == EPERM || probe->error == EACCES)
        (void)snprintf(ret->text, sizeof ret->text,
                       "io_uring is forbidden here (%s): allow io_uring_setup/enter/register in the"
                       " container's seccomp profile, or set sysctl kernel.io_uring_disabled=0",
                       strerrorname_np(probe->error));
    else
        (void)snprintf(ret->text, sizeof ret->text, "io_uring does not work: %s",
                       strerrordesc_np(probe->error));
}

bool
worker_probe(struct worker_features *ret)
{
    struct uring_probe probe;
    uring_probe(&probe);
    *ret = (struct worker_features){
        .uring = probe.setup,
        .uring_errno = probe.error,
        .defer_taskrun = probe.defer,
        .multishot_recv = probe.multishot,
        .multishot_accept = probe.multishot,
        .provided_buffers = probe.buffer_ring,
    };
    if (probe.defer && probe.buffer_ring && probe.multishot) {
        (void)snprintf(ret->text, sizeof ret->text,
                       "io_uring: deferred task running, multishot accept and receive,"
                       " %u receive buffers of %u KiB per worker",
                       URING_BUFFERS, URING_BUFFER_BYTES / 1024);
        return true;
    }
    explain(&probe, ret);
    return false;
}
