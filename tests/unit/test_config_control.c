// test_config_control.c - the key control_socket.
#include "test_config.h"

#define HEAD "listener 1883\nallow_anonymous true\n"

Test(config_control, is_off_unless_it_is_said)
{
    struct config *config = load_clean(HEAD);
    cr_assert_null(config->control_socket);
    config_free(config);
    config = load_clean(HEAD "control_socket /run/a.sock\n");
    cr_assert_str_eq(config->control_socket, "/run/a.sock");
    config_free(config);
}

Test(config_control, a_socket_has_a_path_from_the_root_that_fits)
{
    char text[300], path[128];
    expect_error(HEAD "control_socket a.sock\n",
                 "t.conf:3: control_socket: \"a.sock\" is not the path of a socket: from the root, "
                 "at most 107 bytes");
    expect_error(HEAD "control_socket /\n", "is not the path of a socket");
    expect_error(HEAD "control_socket\n", "t.conf:3: control_socket needs a value");
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[107] = '\0';
    (void)snprintf(text, sizeof text, HEAD "control_socket %s\n", path);
    config_free(load_clean(text));
    path[107] = 'x';
    path[108] = '\0';
    (void)snprintf(text, sizeof text, HEAD "control_socket %s\n", path);
    expect_error(text, "at most 107 bytes");
}

Test(config_control, the_environment_wins)
{
    char *env[] = {"TERNMQ_CONTROL_SOCKET=/b", NULL};
    struct config *config = load_env(HEAD "control_socket /a\n", env);
    cr_assert_str_eq(config->control_socket, "/b");
    config_free(config);
    char *bad[] = {"TERNMQ_CONTROL_SOCKET=b", NULL};
    cr_assert_null(load_env(HEAD, bad));
    cr_assert_not_null(strstr(report.errors[0].text, "TERNMQ_CONTROL_SOCKET: control_socket: "));
}
