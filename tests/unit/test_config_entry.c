// test_config_entry.c - the keys of TLS, WebSockets and the PROXY protocol, as Mosquitto writes
// them.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/base/mem.h"

#include "core/config_loader.h"

static struct config_report report;
static struct config_loader *loader;

static void
unload(void)
{
    if (!loader)
        return;
    config_listener_clear(&loader->default_listener);
    config_free(loader->config);
    mem_free(loader->psk_file);
    mem_free(loader);
    loader = NULL;
}

TestSuite(config_entry, .fini = unload);

static void
load(const char *text)
{
    unload();
    memset(&report, 0, sizeof report);
    loader = mem_zalloc(sizeof *loader);
    loader->report = &report;
    loader->config = config_defaults();
    config_listener_init(&loader->default_listener);
    loader->block = &loader->default_listener;
    config_read_text(loader, "t.conf", slice_str(text));
    loader->here = (struct config_origin){"t.conf", 0};
    for (uint32_t i = 0; i < loader->config->listener_count; i++)
        config_entry_finish(loader, &loader->config->listeners[i]);
}

static const struct listener_entry *
load_clean(const char *text)
{
    load(text);
    cr_assert_eq(report.error_count, 0, "%s", report.errors[0].text);
    cr_assert_eq(report.warning_count, 0, "%s", report.warnings[0].text);
    cr_assert_gt(loader->config->listener_count, 0);
    return &loader->config->listeners[0].entry;
}

static void
expect_error(const char *text, const char *part)
{
    load(text);
    cr_assert_gt(report.error_count, 0, "%s", text);
    cr_expect_not_null(strstr(report.errors[0].text, part), "\"%s\" does not say \"%s\"",
                       report.errors[0].text, part);
}

static void
expect_warning(const char *text, const char *part)
{
    load(text);
    cr_assert_eq(report.error_count, 0, "%s", report.errors[0].text);
    cr_assert_gt(report.warning_count, 0, "%s", text);
    cr_expect_not_null(strstr(report.warnings[0].text, part), "\"%s\" does not say \"%s\"",
                       report.warnings[0].text, part);
}

// ---- TLS ----------------------------------------------------------------------------------------

Test(config_entry, every_key_of_tls)
{
    const struct listener_entry *entry = load_clean("listener 8883\n"
                                                    "certfile /c/server.pem\n"
                                                    "keyfile /c/server key.pem\n"
                                                    "cafile /c/ca.pem\n"
                                                    "capath /c/ca/\n"
                                                    "crlfile /c/crl.pem\n"
                                                    "require_certificate true # mutual\n"
                                                    "use_identity_as_username true\n"
                                                    "use_username_as_clientid true\n"
                                                    "tls_version tlsv1.3\n"
                                                    "ciphers A:B\n"
                                                    "ciphers_tls1.3 C:D\n"
                                                    "ticket_keyfile /c/tickets\n"
                                                    "ocspfile /c/ocsp\n");
    cr_assert_str_eq(entry->cert_file, "/c/server.pem");
    cr_assert_str_eq(entry->key_file, "/c/server key.pem");
    cr_assert_str_eq(entry->ca_file, "/c/ca.pem");
    cr_assert_str_eq(entry->ca_path, "/c/ca/");
    cr_assert_str_eq(entry->crl_file, "/c/crl.pem");
    cr_assert_str_eq(entry->ciphers, "A:B");
    cr_assert_str_eq(entry->ciphers_tls13, "C:D");
    cr_assert_str_eq(entry->ticket_key_file, "/c/tickets");
    cr_assert_str_eq(entry->ocsp_file, "/c/ocsp");
    cr_assert(entry->require_certificate && entry->use_identity_as_username);
    cr_assert(entry->use_username_as_clientid && !entry->use_subject_as_username);
    cr_assert_eq(entry->tls_version, TLS_AT_LEAST_1_3);
    cr_assert(listener_uses_tls(&loader->config->listeners[0]));
}

Test(config_entry, a_listener_without_any_is_plain)
{
    const struct listener_entry *entry = load_clean("listener 1883\nrequire_certificate false\n"
                                                    "use_identity_as_username false\n"
                                                    "enable_proxy_protocol false\n");
    cr_assert_not(listener_uses_tls(&loader->config->listeners[0]));
    cr_assert_eq(entry->protocol, PROTOCOL_MQTT);
    cr_assert_eq(entry->proxy_protocol, 0);
    cr_assert_eq(entry->websockets_head_max, 8192);
}

// A listener that was meant to be safe must not open without TLS because one line is missing.
Test(config_entry, any_key_of_tls_asks_for_tls)
{
    static const char *const keys[] = {"certfile /c", "keyfile /c",        "cafile /c",
                                       "capath /c",   "crlfile /c",        "require_certificate 1",
                                       "ciphers A",   "ciphers_tls1.3 A",  "tls_version tlsv1.2",
                                       "psk_hint a",  "ticket_keyfile /t", "ocspfile /o"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "listener 8883\n%s\n", keys[i]);
        (void)load_clean(text);
        cr_expect(listener_uses_tls(&loader->config->listeners[0]), "%s", keys[i]);
    }
}

Test(config_entry, versions_of_tls)
{
    expect_warning("listener 1\ntls_version tlsv1.1\n", "nothing below tlsv1.2");
    cr_assert_eq(loader->config->listeners[0].entry.tls_version, TLS_AT_LEAST_1_2);
    expect_error("listener 1\ntls_version sslv3\n", "t.conf:2: ");
    expect_error("listener 1\nuse_identity_as_username true\n", "certfile");
    expect_error("listener 1\ncertfile /c\nuse_identity_as_username true\n"
                 "use_subject_as_username true\n",
                 "exclude each other");
}

Test(config_entry, psk_files_are_global_or_per_listener)
{
    (void)load_clean("psk_file /all\nlistener 1\npsk_hint a\nlistener 2\npsk_hint b\n");
    cr_assert_str_eq(loader->config->listeners[0].entry.psk_file, "/all");
    cr_assert_str_eq(loader->config->listeners[1].entry.psk_file, "/all");
    (void)load_clean("listener 1\npsk_hint a\npsk_file /one\nlistener 2\npsk_hint b\n"
                     "psk_file /two\nper_listener_settings true\n");
    cr_assert_str_eq(loader->config->listeners[0].entry.psk_file, "/one");
    cr_assert_str_eq(loader->config->listeners[1].entry.psk_file, "/two");
}

// ---- WebSockets ---------------------------------------------------------------------------------

Test(config_entry, websockets)
{
    const struct listener_entry *entry =
        load_clean("listener 9001\nprotocol websockets\nwebsockets_path /mqtt\n"
                   "websockets_origin https://a.example\nwebsockets_origin http://b:80, http://c\n"
                   "websockets_headers_size 4096\n");
    cr_assert_eq(entry->protocol, PROTOCOL_WEBSOCKETS);
    cr_assert_str_eq(entry->websockets_path, "/mqtt");
    cr_assert_str_eq(entry->websockets_origins[0], "https://a.example");
    cr_assert_str_eq(entry->websockets_origins[1], "http://b:80");
    cr_assert_str_eq(entry->websockets_origins[2], "http://c");
    cr_assert_null(entry->websockets_origins[3]);
    cr_assert_eq(entry->websockets_head_max, 4096);
    expect_error("listener 1\nprotocol websockets\nwebsockets_origin a.example\n", "t.conf:3: ");
    expect_error("listener 1\nprotocol websockets\nwebsockets_path mqtt\n", "begins with /");
    expect_error("listener 1\nwebsockets_headers_size 10\n", "t.conf:2: ");
    expect_warning("listener 1\nwebsockets_path /mqtt\n", "no effect");
    expect_error("listener 1\nprotocol http_api\n", "t.conf:2: ");
}

// ---- PROXY --------------------------------------------------------------------------------------

static void
expect_network(const struct network *network, const char *text, uint32_t bits)
{
    char address[64];
    cr_assert_not_null(
        inet_ntop(network->ipv6 ? AF_INET6 : AF_INET, network->address, address, sizeof address));
    cr_expect_str_eq(address, text);
    cr_expect_eq(network->bits, bits);
}

Test(config_entry, proxies)
{
    const struct listener_entry *entry =
        load_clean("listener 1\nenable_proxy_protocol true\nproxy_protocol_from 10.0.0.0/8\n"
                   "proxy_protocol_from 192.0.2.1, 2001:db8::/32 ::1\n");
    cr_assert_eq(entry->proxy_protocol, PROXY_PROTOCOL_V1 | PROXY_PROTOCOL_V2);
    cr_assert_eq(entry->proxy_count, 4);
    expect_network(&entry->proxies[0], "10.0.0.0", 8);
    expect_network(&entry->proxies[1], "192.0.2.1", 32);
    expect_network(&entry->proxies[2], "2001:db8::", 32);
    expect_network(&entry->proxies[3], "::1", 128);
    entry = load_clean("listener 0 /run/x.sock\nenable_proxy_protocol 1\n");
    cr_assert_eq(entry->proxy_protocol, PROXY_PROTOCOL_V1);
    entry = load_clean("listener 0 /run/x.sock\nenable_proxy_protocol 2 # only\n");
    cr_assert_eq(entry->proxy_protocol, PROXY_PROTOCOL_V2);
    expect_error("listener 1\nenable_proxy_protocol 3\n", "t.conf:2: ");
    expect_error("listener 1\nenable_proxy_protocol true\n", "proxy_protocol_from");
    expect_warning("listener 1\nproxy_protocol_from ::1\n", "no effect");
    static const char *const bad[] = {"10.0.0.1/8",  "10.0.0.0/33",  "::/129",
                                      "a",           "1.2.3",        "10.0.0.0/",
                                      "10.0.0.0/-1", "10.0.0.0/8/8", "0x10.0.0.0"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "listener 1\nproxy_protocol_from %s\n", bad[i]);
        expect_error(text, "is not an address");
    }
}

// ---- Life ---------------------------------------------------------------------------------------

Test(config_entry, copies_are_deep)
{
    const struct listener_entry *entry = load_clean(
        "listener 8883\ncertfile /c\npsk_file /p\nprotocol websockets\n"
        "websockets_origin http://a\nenable_proxy_protocol 2\nproxy_protocol_from ::1\n");
    struct listener_config copy = loader->config->listeners[0];
    config_entry_copy(entry, &copy.entry);
    cr_assert_neq(copy.entry.cert_file, entry->cert_file);
    cr_assert_neq(copy.entry.psk_file, entry->psk_file);
    cr_assert_neq(copy.entry.proxies, entry->proxies);
    cr_assert_neq(copy.entry.websockets_origins, entry->websockets_origins);
    unload();
    cr_assert_str_eq(copy.entry.cert_file, "/c");
    cr_assert_str_eq(copy.entry.psk_file, "/p");
    cr_assert_str_eq(copy.entry.websockets_origins[0], "http://a");
    cr_assert_eq(copy.entry.proxies[0].bits, 128);
    config_entry_clear(&copy.entry);
    cr_assert_null(copy.entry.cert_file);
}
