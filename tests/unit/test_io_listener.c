// test_io_listener.c - listening sockets, their limits and texts.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/cluster.h"
#include "io/listener.h"
#include "io/worker.h"

static struct config config;
static char problem[256];
static char dir[] = "/tmp/test_io_listener.XXXXXX";
static char path[128];

// Not one of those that the kernel gives to connections: another test's would have it meanwhile.
static uint16_t
free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (unsigned n = (unsigned)getpid() * 31;; n++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        a.sin_port = htons((uint16_t)(10000 + n % 22000));
        int rc = bind(fd, (struct sockaddr *)&a, sizeof a);
        close(fd);
        if (rc == 0)
            return ntohs(a.sin_port);
    }
}

static void
set_up(void)
{
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    config = (struct config){.listener_count = 1, .set_tcp_nodelay = true};
    config.listeners[0].port = free_port();
    config.listeners[0].address = (char *)"127.0.0.1";
}

static void
tear_down(void)
{
    unlink(path);
    rmdir(dir);
}

TestSuite(io_listener, .init = set_up, .fini = tear_down);

static struct listen_set *
open_ok(unsigned workers)
{
    struct listen_set *set = NULL;
    cr_assert_eq(listen_open(&config, workers, &set, problem, sizeof problem), OK, "%s", problem);
    return set;
}

static void
open_fails_with(const char *text)
{
    struct listen_set *set = NULL;
    cr_assert_eq(listen_open(&config, 1, &set, problem, sizeof problem), ERR_IO);
    cr_assert_not_null(strstr(problem, text), "\"%s\" does not say \"%s\"", problem, text);
    cr_assert_null(set);
}

static void
use_unix(void)
{
    config.listeners[0] = (struct listener_config){.unix_path = path};
}

Test(io_listener, one_socket_per_worker_with_the_options_that_accepted_ones_inherit)
{
    struct listen_set *set = open_ok(3);
    uint32_t count;
    const struct listen_socket *sockets = listen_sockets(set, &count);
    cr_assert_eq(count, 3);
    for (uint32_t i = 0; i < count; i++) {
        int on = 0;
        socklen_t len = sizeof on;
        cr_assert_eq(sockets[i].worker, i);
        cr_assert_eq(getsockopt(sockets[i].fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
        cr_assert(on);
        cr_assert_eq(getsockopt(sockets[i].fd, SOL_SOCKET, SO_KEEPALIVE, &on, &len), 0);
        cr_assert(on);
    }
    char want[64];
    snprintf(want, sizeof want, "127.0.0.1:%u", config.listeners[0].port);
    cr_assert_str_eq(listen_text(set, 0), want);
    listen_close(set);
    listen_close(NULL);
}

Test(io_listener, a_second_broker_on_the_port_is_an_error_in_spite_of_reuseport)
{
    struct listen_set *set = open_ok(2);
    open_fails_with("Address already in use");
    listen_close(set);
    listen_close(open_ok(2));
}

Test(io_listener, loopback_only_listens_on_nothing_else)
{
    config.listeners[0].address = NULL;
    config.listeners[0].loopback_only = true;
    config.listeners[0].socket_domain = 4;
    struct listen_set *set = open_ok(1);
    cr_assert(strncmp(listen_text(set, 0), "127.0.0.1:", 10) == 0);
    listen_close(set);
}

Test(io_listener, an_unknown_host_is_named)
{
    config.listeners[0].address = (char *)"host.invalid";
    open_fails_with("host.invalid");
}

Test(io_listener, the_last_place_is_given_once_and_comes_back)
{
    config.listeners[0].connections_max = 2;
    struct listen_set *set = open_ok(1);
    cr_assert_eq(listen_admit(set, &config, 0), LISTEN_ADMITTED);
    cr_assert_eq(listen_admit(set, &config, 0), LISTEN_ADMITTED);
    cr_assert_eq(listen_admit(set, &config, 0), LISTEN_MAX_CONNECTIONS);
    listen_leave(set, 0);
    cr_assert_eq(listen_admit(set, &config, 0), LISTEN_ADMITTED);
    listen_leave(set, 0);
    listen_leave(set, 0);
    listen_close(set);
}

Test(io_listener, the_limit_of_the_broker_counts_all_listeners)
{
    config.listener_count = 2;
    config.listeners[1] = (struct listener_config){.unix_path = path};
    config.connections_max = 1;
    struct listen_set *set = open_ok(1);
    cr_assert_eq(listen_admit(set, &config, 1), LISTEN_ADMITTED);
    cr_assert_eq(listen_admit(set, &config, 0), LISTEN_GLOBAL_MAX_CONNECTIONS);
    listen_leave(set, 1);
    cr_assert_eq(listen_admit(set, &config, 0), LISTEN_ADMITTED);
    listen_leave(set, 0);
    listen_close(set);
}

Test(io_listener, descriptors_are_kept_for_files)
{
    struct listen_set *set = open_ok(1);
    listen_set_descriptors(set, 200);
    unsigned admitted = 0;
    while (admitted < 1000 && listen_admit(set, &config, 0) == LISTEN_ADMITTED)
        admitted++;
    cr_assert(admitted >= 100 && admitted <= 150, "%u of 200", admitted);
    cr_assert_eq(listen_admit(set, &config, 0), LISTEN_DESCRIPTORS);
    listen_set_descriptors(set, 400); // somebody has raised the limit
    cr_assert_eq(listen_admit(set, &config, 0), LISTEN_ADMITTED);
    listen_set_descriptors(set, 20);
    for (unsigned i = 0; i <= admitted; i++)
        listen_leave(set, 0);
    cr_assert_eq(listen_admit(set, &config, 0), LISTEN_ADMITTED, "a few go with next to none");
    listen_leave(set, 0);
    listen_close(set);
}

Test(io_listener, nodes_and_clients_do_not_take_each_others_places)
{
    config.listener_count = 2;
    config.listeners[1] = (struct listener_config){.unix_path = path, .node = true};
    config.connections_max = 2;
    struct listen_set *set = open_ok(1);
    cr_assert_eq(listen_admit(set, &config, 1), LISTEN_ADMITTED);
    cr_assert_eq(listen_admit(set, &config, 1), LISTEN_ADMITTED);
    cr_assert_eq(listen_admit(set, &config, 0), LISTEN_ADMITTED, "they are no clients");
    cr_assert_eq(listen_admit(set, &config, 0), LISTEN_ADMITTED);
    cr_assert_eq(listen_admit(set, &config, 0), LISTEN_GLOBAL_MAX_CONNECTIONS);
    cr_assert_eq(listen_admit(set, &config, 1), LISTEN_ADMITTED, "clients do not shut them out");
    config.connections_max = 0;
    listen_set_descriptors(set, 1); // one that is taken
    cr_assert_eq(listen_admit(set, &config, 0), LISTEN_DESCRIPTORS);
    uint32_t nodes = 3;
    while (listen_admit(set, &config, 1) == LISTEN_ADMITTED)
        nodes++;
    cr_assert_eq(nodes, NODE_LINKS_MAX, "%u", nodes);
    cr_assert_eq(listen_admit(set, &config, 1), LISTEN_DESCRIPTORS);
    listen_set_descriptors(set, 0);
    while (listen_admit(set, &config, 1) == LISTEN_ADMITTED)
        nodes++;
    cr_assert_eq(nodes, NODE_CONNECTIONS_MAX, "%u", nodes);
    cr_assert_eq(listen_admit(set, &config, 1), LISTEN_NODES_MAX);
    while (nodes-- > 0)
        listen_leave(set, 1);
    listen_leave(set, 0);
    listen_leave(set, 0);
    cr_assert_eq(listen_connections(set, 1), 0);
    listen_close(set);
}

Test(io_listener, a_unix_socket_goes_with_the_set)
{
    use_unix();
    struct listen_set *set = open_ok(4);
    uint32_t count;
    const struct listen_socket *sockets = listen_sockets(set, &count);
    cr_assert_eq(count, 1);
    cr_assert_eq(sockets[0].worker, 0);
    cr_assert_str_eq(listen_text(set, 0), path);
    cr_assert_eq(access(path, F_OK), 0);
    open_fails_with("Address already in use");
    listen_close(set);
    cr_assert_neq(access(path, F_OK), 0);
}

Test(io_listener, a_dead_unix_socket_is_replaced_and_a_file_is_not)
{
    use_unix();
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, path, strlen(path));
    cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    close(fd);
    listen_close(open_ok(1));

    fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    open_fails_with("File exists");
    cr_assert_eq(access(path, F_OK), 0);
}

Test(io_listener, a_unix_socket_that_is_no_longer_ours_stays)
{
    use_unix();
    struct listen_set *set = open_ok(1);
    cr_assert_eq(unlink(path), 0);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    listen_close(set);
    cr_assert_eq(access(path, F_OK), 0);
}

Test(io_listener, a_path_that_no_socket_can_have_is_refused)
{
    char long_path[200];
    memset(long_path, 'p', sizeof long_path);
    long_path[0] = '/';
    long_path[sizeof long_path - 1] = '\0';
    config.listeners[0] = (struct listener_config){.unix_path = long_path};
    open_fails_with("File name too long");
}

Test(io_listener, peers_are_named)
{
    struct listen_set *set = open_ok(1);
    uint32_t count;
    const struct listen_socket *sockets = listen_sockets(set, &count);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(config.listeners[0].port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int client = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(client, (struct sockaddr *)&a, sizeof a), 0);
    socklen_t len = sizeof a;
    cr_assert_eq(getsockname(client, (struct sockaddr *)&a, &len), 0);
    int fd = accept(sockets[0].fd, NULL, NULL);
    char text[PEER_TEXT_MAX], want[PEER_TEXT_MAX];
    snprintf(want, sizeof want, "127.0.0.1:%u", ntohs(a.sin_port));
    peer_text(set, 0, fd, text);
    cr_assert_str_eq(text, want);
    close(fd);
    peer_text(set, 0, fd, text);
    cr_assert_str_eq(text, "unknown");
    close(client);
    listen_close(set);
}
