// probe.c - which backend may we use here, and if not the one that was asked for, what can be done
// about it?
#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "io/epoll.h"
#include "io/uring.h"
#include "io/worker.h"

static void
explain(const struct uring_probe *probe, char *ret_text, size_t len)
{
    struct utsname host = {.release = "?"};
    (void)uname(&host);
    if (probe->setup || probe->error == EINVAL)
        (void)snprintf(ret_text, len,
                       "Linux %.30s is too old: io_uring with deferred task running needs Linux 6.1"
                       " or later",
                       host.release);
    else if (probe->error == ENOSYS || probe->error == EPERM || probe->error == EACCES)
        (void)snprintf(ret_text, len,
                       "io_uring is forbidden here (%s): allow io_uring_setup/enter/register in the"
                       " container's seccomp profile, or set sysctl kernel.io_uring_disabled=0",
                       strerrorname_np(probe->error));
    else
        (void)snprintf(ret_text, len, "io_uring does not work: %s", strerrordesc_np(probe->error));
}

static void
take_epoll(struct worker_features *ret)
{
    ret->io = IO_BACKEND_EPOLL;
    (void)snprintf(ret->text, sizeof ret->text,
                   "epoll: edge-triggered, %u KiB for what a batch receives per worker",
                   EPOLL_AREA_BYTES / 1024);
}

bool
worker_probe(enum io_backend asked, struct worker_features *ret)
{
    *ret = (struct worker_features){.io = IO_BACKEND_URING};
    if (asked == IO_BACKEND_EPOLL) {
        take_epoll(ret);
        return true;
    }
    struct uring_probe probe;
    uring_probe(&probe);
    if (probe.defer && probe.buffer_ring && probe.multishot) {
        (void)snprintf(ret->text, sizeof ret->text,
                       "io_uring: deferred task running, multishot accept and receive,"
                       " %u receive buffers of %u KiB per worker",
                       URING_BUFFERS, URING_BUFFER_BYTES / 1024);
        return true;
    }
    explain(&probe, ret->text, sizeof ret->text);
    if (asked == IO_BACKEND_URING)
        return false;
    (void)snprintf(ret->warning, sizeof ret->warning, "%s; epoll serves instead", ret->text);
    take_epoll(ret);
    return true;
}
