// test_io_tls.c - the TLS filter against a client in memory: who gets in, what the bytes become.
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/harness/tls_client.h"

#define FILE_OF(name) TERN_CERTIFICATES "/" name

static struct tls_settings settings;
static struct tls_client_options options;
static struct tls_context *context;
static struct tls_pair *pair;
static const uint8_t psk_key[] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                  0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

static void
set_up(void)
{
    settings = (struct tls_settings){
        .cert_file = FILE_OF("chain.pem"), .key_file = FILE_OF("chain.key"), .alpn = "mqtt"};
    options = (struct tls_client_options){.ca = FILE_OF("ca.pem")};
}

static void
tear_down(void)
{
    if (pair)
        pair_free(pair);
    tls_context_unref(context);
}

TestSuite(io_tls, .init = set_up, .fini = tear_down);

static void
make_context(void)
{
    struct file_problem problem = {""};
    cr_assert_eq(tls_context_new(&settings, 2, &context, &problem), OK, "%s", problem.text);
}

static bool
shake(void)
{
    if (!context)
        make_context();
    pair = pair_new(context, &options);
    return pair_shake(pair);
}

static bool
shake_again(void)
{
    pair_free(pair);
    return shake();
}

static void
require_certificates(void)
{
    settings.require_certificate = true;
    settings.ca_file = FILE_OF("clients.pem");
    settings.identity = TLS_IDENTITY_COMMON_NAME;
}

#define WITH(name)                           \
    do {                                     \
        options.cert = FILE_OF(name ".pem"); \
        options.key = FILE_OF(name ".key");  \
    } while (0)

// The fatal alert that the client was sent, or -1.
static int
alert_of_client(void)
{
    WOLFSSL_ALERT_HISTORY alerts;
    uint8_t scrap[64];
    (void)wolfSSL_read(pair->client, scrap, sizeof scrap);
    cr_assert_eq(wolfSSL_get_alert_history(pair->client, &alerts), WOLFSSL_SUCCESS);
    return alerts.last_rx.level == alert_fatal ? alerts.last_rx.code : -1;
}

static void
client_says(const void *data, uint32_t len)
{
    cr_assert_eq(wolfSSL_write(pair->client, data, (int)len), (int)len);
    pair_serve(pair);
}

static void
expect_echo(uint32_t len)
{
    static uint8_t data[60000], back[60000];
    for (uint32_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    pair->plain_len = 0;
    client_says(data, len);
    cr_assert_eq(pair->plain_len, len);
    cr_assert_arr_eq(pair->plain, data, len);
    cr_assert_eq(tls_write(pair->tls, &pair->out, &pair->pool, slice_of(data, len)), OK);
    for (uint32_t at = 0; at < len;) {
        int n = wolfSSL_read(pair->client, back + at, (int)(len - at));
        cr_assert_gt(n, 0);
        at += (uint32_t)n;
    }
    cr_assert_arr_eq(back, data, len);
}

// ---- Bytes --------------------------------------------------------------------------------------

Test(io_tls, both_versions_carry_bytes_both_ways)
{
    static const int versions[] = {WOLFSSL_TLSV1_2, WOLFSSL_TLSV1_3};
    static const char *const texts[] = {"TLSv1.2", "TLSv1.3"};
    for (int i = 0; i < 2; i++) {
        options.version = versions[i];
        cr_assert(i == 0 ? shake() : shake_again());
        cr_assert_str_eq(tls_version_text(pair->tls), texts[i]);
        expect_echo(1);
        expect_echo(16384);
        expect_echo(50000);
        cr_assert_null(tls_peer_name(pair->tls));
    }
}

Test(io_tls, a_byte_at_a_time_is_enough)
{
    for (int i = 0; i < 2; i++) {
        options.version = i ? WOLFSSL_TLSV1_3 : WOLFSSL_TLSV1_2;
        make_context();
        pair = pair_new(context, &options);
        pair->chunk = 1;
        cr_assert(pair_shake(pair));
        expect_echo(1000);
        pair_free(pair);
        pair = NULL;
        tls_context_unref(context);
        context = NULL;
    }
}

Test(io_tls, a_record_a_byte_works)
{
    cr_assert(shake());
    for (uint32_t i = 0; i < 3000; i++)
        client_says(&(uint8_t){(uint8_t)i}, 1);
    cr_assert_eq(pair->plain_len, 3000);
    for (uint32_t i = 0; i < 3000; i++)
        cr_assert_eq(pair->plain[i], (uint8_t)i);
    cr_assert_eq(pair->tls->state, TLS_OPEN);
}

Test(io_tls, small_buffers_of_the_reader_get_everything)
{
    uint8_t data[1000], buffer[7];
    cr_assert(shake());
    memset(data, 'x', sizeof data);
    cr_assert_eq(wolfSSL_write(pair->client, data, sizeof data), (int)sizeof data);
    uint32_t got, total = 0;
    tls_input(pair->tls, slice_of(pair->to_server, pair->to_server_len));
    while ((got = tls_read(pair->tls, &pair->out, &pair->pool, buffer, sizeof buffer)) > 0)
        total += got;
    cr_assert_eq(total, sizeof data);
}

Test(io_tls, rsa_and_ed25519_certificates_serve_too)
{
    settings.cert_file = FILE_OF("rsa.pem");
    settings.key_file = FILE_OF("rsa.key");
    cr_assert(shake());
    options.version = WOLFSSL_TLSV1_2;
    cr_assert(shake_again());
    tls_context_unref(context);
    context = NULL;
    settings.cert_file = FILE_OF("ed25519.pem");
    settings.key_file = FILE_OF("ed25519.key");
    options.version = WOLFSSL_TLSV1_3;
    cr_assert(shake_again());
}

Test(io_tls, it_may_move_to_another_context_of_the_same_listener_meanwhile)
{
    cr_assert(shake());
    struct tls_context *old = context;
    context = NULL;
    make_context(); // a reload
    tls_context_unref(old);
    expect_echo(100); // who is there keeps what he has
    cr_assert(shake_again());
}

// ---- The end ------------------------------------------------------------------------------------

Test(io_tls, close_notify_ends_it_from_both_sides)
{
    cr_assert(shake());
    cr_assert_eq(tls_write(pair->tls, &pair->out, &pair->pool, slice_str("bye")), OK);
    tls_close(pair->tls, &pair->out, &pair->pool);
    char back[8];
    cr_assert_eq(wolfSSL_read(pair->client, back, sizeof back), 3);
    int rc = wolfSSL_read(pair->client, back, sizeof back);
    cr_assert_eq(wolfSSL_get_error(pair->client, rc), WOLFSSL_ERROR_ZERO_RETURN);
    (void)wolfSSL_shutdown(pair->client);
    pair_serve(pair);
    cr_assert_eq(pair->tls->state, TLS_ENDED);
    // Deaf from now on, without harm.
    tls_input(pair->tls, slice_str("more"));
    uint8_t scrap[8];
    cr_assert_eq(tls_read(pair->tls, &pair->out, &pair->pool, scrap, sizeof scrap), 0);
}

Test(io_tls, a_byte_changed_on_the_way_fails)
{
    char text[TLS_FAILURE_MAX];
    cr_assert(shake());
    cr_assert_eq(wolfSSL_write(pair->client, "hello", 5), 5);
    pair->to_server[pair->to_server_len - 1] ^= 1;
    pair_serve(pair);
    cr_assert_eq(pair->tls->state, TLS_FAILED);
    cr_assert_eq(pair->plain_len, 0);
    tls_failure(pair->tls, text);
    cr_assert_gt(strlen(text), 0);
    cr_assert_eq(tls_write(pair->tls, &pair->out, &pair->pool, slice_str("x")), ERR_IO);
    cr_assert_eq(alert_of_client(), bad_record_mac);
}

Test(io_tls, plain_mqtt_fails_at_once)
{
    make_context();
    pair = pair_new(context, &options);
    memcpy(pair->to_server, "\x10\x12\x00\x04MQTT\x04\x02\x00\x3c\x00\x06client", 20);
    pair->to_server_len = 20;
    pair_serve(pair);
    cr_assert_eq(pair->tls->state, TLS_FAILED);
}

Test(io_tls, a_handshake_has_an_end)
{
    make_context();
    pair = pair_new(context, &options);
    // A handshake message of 16 MB is announced and never comes to its end.
    uint8_t record[5 + 4 + 1000] = {22, 3, 3, 0x03, 0xec, 1, 0xff, 0xff, 0xff};
    for (uint32_t i = 0; i < 200 && pair->tls->state == TLS_HANDSHAKE; i++) {
        memcpy(pair->to_server, record, sizeof record);
        pair->to_server_len = sizeof record;
        pair_serve(pair);
        memset(record + 5, 0, 4);
    }
    cr_assert_eq(pair->tls->state, TLS_FAILED);
}

Test(io_tls, what_brings_no_plaintext_is_bounded)
{
    options.version = WOLFSSL_TLSV1_3;
    cr_assert(shake());
    uint32_t updates = 0;
    for (; updates < 100000 && pair->tls->state == TLS_OPEN; updates++) {
        cr_assert_eq(wolfSSL_update_keys(pair->client), WOLFSSL_SUCCESS);
        pair_serve(pair);
        outq_consume(&pair->out, &pair->pool, outq_bytes(&pair->out)); // not read by the client
    }
    cr_assert_eq(pair->tls->state, TLS_FAILED);
    cr_assert_gt(updates, 100);
    cr_assert_lt(updates, 20000);
}

Test(io_tls, key_updates_between_messages_are_fine)
{
    options.version = WOLFSSL_TLSV1_3;
    cr_assert(shake());
    for (uint32_t i = 0; i < 20; i++) {
        cr_assert_eq(wolfSSL_update_keys(pair->client), WOLFSSL_SUCCESS);
        expect_echo(100);
    }
}

// ---- Client certificates ------------------------------------------------------------------------

Test(io_tls, a_client_certificate_names_its_owner)
{
    require_certificates();
    WITH("client");
    for (int i = 0; i < 2; i++) {
        options.version = i ? WOLFSSL_TLSV1_3 : WOLFSSL_TLSV1_2;
        cr_assert(i == 0 ? shake() : shake_again());
        cr_assert_str_eq(tls_peer_name(pair->tls), "sensor-1");
    }
    tls_context_unref(context);
    context = NULL;
    settings.identity = TLS_IDENTITY_SUBJECT;
    cr_assert(shake_again());
    cr_assert_str_eq(tls_peer_name(pair->tls), "CN=sensor-1,O=Works,C=DE");
}

Test(io_tls, the_root_alone_is_enough_when_the_client_sends_its_chain)
{
    require_certificates();
    settings.ca_file = FILE_OF("ca.pem");
    WITH("client");
    cr_assert_not(shake(), "the intermediate is missing");
    tls_context_unref(context);
    context = NULL;
    options.cert = FILE_OF("chain.pem");
    options.key = FILE_OF("chain.key");
    cr_assert(shake_again());
    cr_assert_str_eq(tls_peer_name(pair->tls), "server.example");
}

static void
expect_refused(int version, int alert)
{
    options.version = version;
    cr_assert_not(pair ? shake_again() : shake());
    cr_assert_eq(pair->tls->state, TLS_FAILED);
    cr_assert_null(tls_peer_name(pair->tls));
    int got = alert_of_client();
    cr_expect_eq(got, alert, "alert %d, wanted %d", got, alert);
}

Test(io_tls, clients_without_the_right_certificate_are_refused)
{
    require_certificates();
    settings.crl_file = FILE_OF("crl.pem");
    static const int versions[] = {WOLFSSL_TLSV1_2, WOLFSSL_TLSV1_3};
    for (int i = 0; i < 2; i++) {
        options.cert = NULL;
        expect_refused(versions[i], i ? 116 /* certificate_required */ : handshake_failure);
        WITH("stranger");
        expect_refused(versions[i], unknown_ca);
        WITH("expired");
        expect_refused(versions[i], certificate_expired);
        WITH("revoked");
        expect_refused(versions[i], certificate_revoked);
        WITH("client");
        options.version = versions[i];
        cr_assert(shake_again());
    }
}

Test(io_tls, a_client_among_the_cas_cannot_make_other_clients)
{
    require_certificates();
    settings.ca_file = FILE_OF("mixed.pem");
    WITH("minted");
    expect_refused(WOLFSSL_TLSV1_2, unknown_ca);
    expect_refused(WOLFSSL_TLSV1_3, unknown_ca);
    WITH("client");
    cr_assert(shake_again());
}

Test(io_tls, a_name_that_is_none_is_not_made_up)
{
    require_certificates();
    WITH("no-name");
    cr_assert(shake());
    cr_assert_null(tls_peer_name(pair->tls));
    WITH("wildcard-name");
    cr_assert(shake_again());
    cr_assert_str_eq(tls_peer_name(pair->tls), "#"); // whether that is a user name is core's to say
    WITH("latin-name");
    cr_assert(shake_again());
    cr_assert_str_eq(tls_peer_name(pair->tls), "Fühler #1 ");
}

Test(io_tls, a_revocation_list_that_has_expired_lets_nobody_in)
{
    require_certificates();
    settings.crl_file = FILE_OF("crl-old.pem");
    WITH("client");
    struct file_problem problem;
    if (tls_context_new(&settings, 1, &context, &problem) == OK)
        cr_assert_not(shake());
}

// ---- Pre-shared keys ----------------------------------------------------------------------------

static void
use_psk(void)
{
    settings =
        (struct tls_settings){.psk_file = FILE_OF("psk.txt"), .psk_hint = "broker", .alpn = "mqtt"};
    options = (struct tls_client_options){
        .psk_identity = "sensor-1", .psk_key = psk_key, .psk_key_len = sizeof psk_key};
}

Test(io_tls, pre_shared_keys_name_their_owner)
{
    use_psk();
    options.version = WOLFSSL_TLSV1_2;
    options.ciphers = "ECDHE-PSK-CHACHA20-POLY1305";
    cr_assert(shake());
    cr_assert_str_eq(tls_peer_name(pair->tls), "sensor-1");
    if (tls_library_is_tuned()) { // Debian's has it not
        options.ciphers = "PSK-AES128-GCM-SHA256";
        cr_assert(shake_again());
    }
    options.version = WOLFSSL_TLSV1_3;
    options.ciphers = NULL;
    cr_assert(shake_again());
    cr_assert_str_eq(tls_peer_name(pair->tls), "sensor-1");
    expect_echo(100);
}

Test(io_tls, a_wrong_or_unknown_pre_shared_key_is_refused)
{
    use_psk();
    for (int i = 0; i < 2; i++) {
        options.version = i ? WOLFSSL_TLSV1_3 : WOLFSSL_TLSV1_2;
        options.psk_identity = "sensor-1";
        options.psk_key = (const uint8_t *)"0123456789abcdef";
        cr_assert_not(i == 0 ? shake() : shake_again());
        cr_assert_eq(pair->tls->state, TLS_FAILED);
        cr_assert_null(tls_peer_name(pair->tls));
        options.psk_key = psk_key;
        options.psk_identity = "nobody";
        cr_assert_not(shake_again());
        cr_assert_eq(pair->tls->state, TLS_FAILED);
        cr_expect_geq(alert_of_client(), 0, "the client is told");
    }
}

// ---- Tickets ------------------------------------------------------------------------------------

static WOLFSSL_SESSION *
session_of(void)
{
    uint8_t scrap[16];
    (void)wolfSSL_read(pair->client, scrap, sizeof scrap); // TLS 1.3 sends its ticket behind
    WOLFSSL_SESSION *session = wolfSSL_get1_session(pair->client);
    cr_assert_not_null(session);
    return session;
}

static void
expect_resumption(int version, bool wanted)
{
    options.version = version;
    options.session = NULL;
    cr_assert(pair ? shake_again() : shake());
    cr_assert_not(tls_resumed(pair->tls));
    WOLFSSL_SESSION *session = session_of();
    options.session = session;
    cr_assert(shake_again());
    cr_assert_eq(tls_resumed(pair->tls), wanted);
    expect_echo(10);
    wolfSSL_SESSION_free(session);
    options.session = NULL;
}

Test(io_tls, tickets_resume)
{
    expect_resumption(WOLFSSL_TLSV1_2, true);
    expect_resumption(WOLFSSL_TLSV1_3, true);
}

Test(io_tls, tickets_resume_at_another_broker_with_the_same_key_file)
{
    settings.ticket_key_file = FILE_OF("tickets.txt");
    for (int i = 0; i < 2; i++) {
        options.version = i ? WOLFSSL_TLSV1_3 : WOLFSSL_TLSV1_2;
        options.session = NULL;
        cr_assert(i == 0 ? shake() : shake_again());
        WOLFSSL_SESSION *session = session_of();
        tls_context_unref(context);
        context = NULL; // the other broker
        options.session = session;
        cr_assert(shake_again());
        cr_assert(tls_resumed(pair->tls));
        wolfSSL_SESSION_free(session);
    }
}

Test(io_tls, without_it_another_broker_shakes_hands_in_full)
{
    cr_assert(shake());
    WOLFSSL_SESSION *session = session_of();
    tls_context_unref(context);
    context = NULL;
    options.session = session;
    cr_assert(shake_again());
    cr_assert_not(tls_resumed(pair->tls));
    expect_echo(10);
    wolfSSL_SESSION_free(session);
}

Test(io_tls, who_must_show_a_certificate_shows_it_each_time)
{
    require_certificates();
    WITH("client");
    expect_resumption(WOLFSSL_TLSV1_2, false);
    cr_assert_str_eq(tls_peer_name(pair->tls), "sensor-1");
    expect_resumption(WOLFSSL_TLSV1_3, false);
    cr_assert_str_eq(tls_peer_name(pair->tls), "sensor-1");
}

// ---- Extensions ---------------------------------------------------------------------------------

Test(io_tls, alpn_agrees_on_mqtt_and_on_nothing_else)
{
    char *name;
    unsigned short len;
    options.alpn = "h2,mqtt";
    cr_assert(shake());
    cr_assert_eq(wolfSSL_ALPN_GetProtocol(pair->client, &name, &len), WOLFSSL_SUCCESS);
    cr_assert(slice_equal(slice_of(name, len), slice_str("mqtt")));
    options.alpn = "h2";
    cr_assert_not(shake_again());
    cr_assert_eq(pair->tls->state, TLS_FAILED);
    cr_assert_eq(alert_of_client(), no_application_protocol);
}

Test(io_tls, an_ocsp_response_is_stapled)
{
    if (!tls_library_is_tuned())
        cr_skip_test("Debian's library does not staple for us");
    settings.ocsp_file = FILE_OF("ocsp.der");
    options.staple = true;
    options.ca = FILE_OF("clients.pem");
    options.version = WOLFSSL_TLSV1_2;
    cr_assert(shake(), "client: %s", tls_error_text(pair->client_error));
    options.version = WOLFSSL_TLSV1_3;
    cr_assert(shake_again(), "client: %s", tls_error_text(pair->client_error));
    options.staple = false;
    cr_assert(shake_again());
}

Test(io_tls, without_one_a_client_that_insists_goes_away)
{
    options.staple = true;
    options.ca = FILE_OF("clients.pem");
    cr_assert_not(shake());
}

Test(io_tls, only_the_wanted_version_is_spoken)
{
    settings.version_min = TLS_VERSION_1_3;
    options.version = WOLFSSL_TLSV1_2;
    cr_assert_not(shake());
    cr_assert_eq(alert_of_client(), 70 /* protocol_version */);
    options.version = WOLFSSL_TLSV1_3;
    cr_assert(shake_again());
}

Test(io_tls, only_the_wanted_suites_are_spoken)
{
    settings.ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384";
    settings.ciphers_tls13 = "TLS_CHACHA20_POLY1305_SHA256";
    options.version = WOLFSSL_TLSV1_3;
    cr_assert(shake());
    cr_assert_not_null(strstr(tls_cipher_text(pair->tls), "CHACHA20"));
    options.version = WOLFSSL_TLSV1_2;
    cr_assert(shake_again());
    cr_assert_not_null(strstr(tls_cipher_text(pair->tls), "AES256-GCM"), "%s",
                       tls_cipher_text(pair->tls));
    options.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256";
    cr_assert_not(shake_again());
    cr_assert_eq(alert_of_client(), handshake_failure);
}
