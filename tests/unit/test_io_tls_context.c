// test_io_tls_context.c - what a listener's TLS settings are checked for, and what is said of them.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"

#include "io/certificate.h"
#include "io/tls_context.h"
#include "io/tls_psk.h"
#include "io/tls_suites.h"
#include "io/tls_tickets.h"

#define FILE_OF(name) TERN_CERTIFICATES "/" name

static struct tls_settings settings;
static struct tls_context *context;
static struct file_problem problem;
static char dir[] = "/tmp/test_io_tls.XXXXXX";

static void
set_up(void)
{
    cr_assert_not_null(mkdtemp(dir));
    settings =
        (struct tls_settings){.cert_file = FILE_OF("chain.pem"), .key_file = FILE_OF("chain.key")};
}

static void
tear_down(void)
{
    char command[128];
    tls_context_unref(context);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(io_tls_context, .init = set_up, .fini = tear_down);

static void
accept_it(void)
{
    tls_context_unref(context);
    context = NULL;
    cr_assert_eq(tls_context_new(&settings, 1, &context, &problem), OK, "%s", problem.text);
}

static void
refuse_it(const char *file, const char *why)
{
    struct tls_context *none = NULL;
    problem.text[0] = '\0';
    cr_assert_eq(tls_context_new(&settings, 1, &none, &problem), ERR_CONFIG, "%s %s", file, why);
    cr_assert_null(none);
    cr_expect_not_null(strstr(problem.text, file), "\"%s\" does not name %s", problem.text, file);
    cr_expect_not_null(strstr(problem.text, why), "\"%s\" does not say \"%s\"", problem.text, why);
}

// A file of the test's folder with this content. Its name is good until the next call but three.
static const char *
write_file(const char *name, const char *content, size_t len)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    cr_assert_eq(fwrite(content, 1, len, f), len);
    fclose(f);
    return path;
}

#define WRITE(name, content) write_file(name, content, strlen(content))

// ---- Certificates and keys ----------------------------------------------------------------------

Test(io_tls_context, a_good_one_says_when_it_expires)
{
    accept_it();
    int64_t days = (context->expires_s - (int64_t)(clock_wall_ms() / 1000)) / 86400;
    cr_assert_gt(days, 3000);
    cr_assert_leq(days, 3650);
    cr_assert_str_eq(context->notes, "");
}

Test(io_tls_context, an_expired_certificate_works_and_is_told)
{
    settings.cert_file = FILE_OF("expired.pem");
    settings.key_file = FILE_OF("expired.key");
    accept_it();
    cr_assert_not_null(strstr(context->notes, "expired.pem expired"), "%s", context->notes);
    cr_assert_lt(context->expires_s, (int64_t)(clock_wall_ms() / 1000));
}

Test(io_tls_context, bad_certificates_and_keys_are_named)
{
    settings.cert_file = "/nowhere/cert.pem";
    refuse_it("/nowhere/cert.pem", "No such file");
    settings.cert_file = TERN_CERTIFICATES;
    refuse_it(TERN_CERTIFICATES, "not a file");
    settings.cert_file = FILE_OF("chain.key");
    refuse_it("chain.key", "no certificate");
    settings.cert_file = WRITE("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n"
                                             "-----END CERTIFICATE-----\n");
    refuse_it("broken.pem", "certificate 1 is damaged");
    settings.cert_file = FILE_OF("chain.pem");
    settings.key_file = FILE_OF("rsa.key");
    refuse_it("rsa.key", "not the private key of");
    settings.key_file = FILE_OF("stranger.key");
    refuse_it("stranger.key", "not the private key of");
    settings.key_file = FILE_OF("chain.pem");
    refuse_it("chain.pem", "no private key");
    settings.key_file = FILE_OF("encrypted.key");
    refuse_it("encrypted.key", "encrypted");
    settings.key_file = NULL;
    refuse_it("keyfile", "missing");
}

Test(io_tls_context, settings_that_do_not_fit_together_are_refused)
{
    settings.identity = TLS_IDENTITY_COMMON_NAME;
    refuse_it("use_identity_as_username", "needs require_certificate");
    settings.identity = TLS_IDENTITY_NONE;
    settings.crl_file = FILE_OF("crl.pem");
    refuse_it("crlfile", "require_certificate");
    settings.crl_file = NULL;
    settings.require_certificate = true;
    refuse_it("require_certificate", "cafile");
    settings.require_certificate = false;
    settings.psk_hint = "hint";
    refuse_it("psk_hint", "either");
    settings.cert_file = settings.key_file = NULL;
    refuse_it("psk_hint", "psk_file");
    settings.psk_file = FILE_OF("psk.txt");
    accept_it();
    cr_assert_eq(context->expires_s, INT64_MAX);
}

// ---- CAs, revocation, stapling ------------------------------------------------------------------

Test(io_tls_context, bad_cas_and_lists_are_named)
{
    settings.require_certificate = true;
    settings.ca_file = FILE_OF("tickets.txt");
    refuse_it("tickets.txt", "no CA certificate");
    settings.ca_file = FILE_OF("expired.pem");
    refuse_it("expired.pem", "no CA certificate");
    settings.ca_file = FILE_OF("clients.pem");
    settings.crl_file = FILE_OF("ca.pem");
    refuse_it("ca.pem", "no revocation list");
    settings.crl_file =
        WRITE("bad.crl", "-----BEGIN X509 CRL-----\nMAAA\n-----END X509 CRL-----\n");
    refuse_it("bad.crl", "revocation list 1");
    settings.crl_file = FILE_OF("crl.pem");
    accept_it();
}

Test(io_tls_context, a_folder_of_cas_may_hold_other_things)
{
    settings.require_certificate = true;
    settings.ca_path = dir;
    refuse_it(dir, "no CA certificate");
    WRITE("README", "nothing here\n");
    char link[128];
    snprintf(link, sizeof link, "%s/8d33f237.0", dir);
    cr_assert_eq(symlink(FILE_OF("ca.pem"), link), 0);
    snprintf(link, sizeof link, "%s/dangling.pem", dir);
    cr_assert_eq(symlink("/nowhere", link), 0);
    snprintf(link, sizeof link, "%s/folder", dir);
    cr_assert_eq(mkdir(link, 0700), 0);
    accept_it();
    settings.ca_path = "/nowhere";
    refuse_it("/nowhere", "No such file");
}

Test(io_tls_context, an_ocsp_response_has_to_be_for_us)
{
    if (!tls_library_is_tuned())
        cr_skip_test("Debian's library does not staple for us");
    settings.ocsp_file = FILE_OF("ocsp.der");
    accept_it();
    settings.ocsp_file = FILE_OF("ocsp-revoked.der");
    refuse_it("ocsp-revoked.der", "would not take");
    settings.ocsp_file = FILE_OF("psk.txt");
    refuse_it("psk.txt", "would not take");
    settings.ocsp_file = FILE_OF("ocsp.der");
    settings.require_certificate = true;
    settings.ca_file = FILE_OF("clients.pem");
    accept_it();
    settings.ca_file = FILE_OF("other-ca.pem");
    refuse_it("ocsp.der", "would not take");
}

// ---- Cipher suites ------------------------------------------------------------------------------

static char suites[TLS_SUITES_TEXT_MAX], unknown[TLS_SUITES_TEXT_MAX];

static void
expect_suites(const char *ciphers, const char *wanted)
{
    struct tls_suites_wanted list = {.ciphers = ciphers, .ciphers_tls13 = "TLS_AES_128_GCM_SHA256"};
    cr_assert_eq(tls_suites(&list, suites, unknown, &problem), OK, "%s", problem.text);
    const char *behind = strchr(suites, ':');
    cr_assert_not_null(behind);
    cr_expect_str_eq(behind + 1, wanted);
}

Test(io_tls_context, openssl_lists_are_understood)
{
    expect_suites("ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256",
                  "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256");
    expect_suites("ECDHE+AESGCM:!aNULL:!MD5", "ECDHE-ECDSA-AES128-GCM-SHA256:"
                                              "ECDHE-RSA-AES128-GCM-SHA256:"
                                              "ECDHE-ECDSA-AES256-GCM-SHA384:"
                                              "ECDHE-RSA-AES256-GCM-SHA384");
    expect_suites("CHACHA20:-RSA", "ECDHE-ECDSA-CHACHA20-POLY1305");
    expect_suites("HIGH:!AES:@STRENGTH",
                  "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305");
    expect_suites("!CHACHA20:CHACHA20:ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-SHA");
    cr_assert_str_eq(unknown, "");
    expect_suites("DHE-RSA-AES256-SHA:RC4-SHA:ECDHE-RSA-AES128-GCM-SHA256",
                  "ECDHE-RSA-AES128-GCM-SHA256");
    cr_assert_str_eq(unknown, "DHE-RSA-AES256-SHA, RC4-SHA");
}

Test(io_tls_context, the_default_is_modern)
{
    struct tls_suites_wanted list = {0};
    cr_assert_eq(tls_suites(&list, suites, unknown, &problem), OK);
    cr_assert_null(strstr(suites, "PSK"));
    cr_assert_null(strstr(suites, "-SHA:"));
    cr_assert_null(strstr(suites, "NULL"));
    cr_assert_not_null(strstr(suites, "TLS13-AES128-GCM-SHA256:"));
    cr_assert_not_null(strstr(suites, "ECDHE-RSA-AES128-GCM-SHA256"));
    list.psk = true;
    cr_assert_eq(tls_suites(&list, suites, unknown, &problem), OK);
    cr_assert_not_null(strstr(suites, "PSK-AES128-GCM-SHA256"));
    cr_assert_null(strstr(suites, "ECDSA"));
    list.tls13_only = true;
    cr_assert_eq(tls_suites(&list, suites, unknown, &problem), OK);
    cr_assert_null(strstr(suites, "PSK"));
}

Test(io_tls_context, a_list_that_leaves_nothing_is_an_error)
{
    settings.ciphers = "RC4-MD5:NULL-SHA:aNULL";
    refuse_it("ciphers", "RC4-MD5");
    settings.ciphers = NULL;
    settings.ciphers_tls13 = "TLS_NULL";
    refuse_it("ciphers_tls1.3", "TLS_NULL");
    settings.ciphers_tls13 = NULL;
    settings.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:EXP-RC4-MD5";
    accept_it();
    cr_assert_not_null(strstr(context->notes, "EXP-RC4-MD5"));
}

// ---- Pre-shared keys, ticket keys ---------------------------------------------------------------

static void
refuse_psk(const char *content, const char *where, const char *why)
{
    struct tls_psk *psk = NULL;
    cr_assert_eq(tls_psk_load(WRITE("psk", content), &psk, &problem), ERR_CONFIG);
    cr_assert_null(psk);
    cr_expect_not_null(strstr(problem.text, where), "%s", problem.text);
    cr_expect_not_null(strstr(problem.text, why), "%s", problem.text);
}

Test(io_tls_context, psk_files_are_as_mosquittos)
{
    struct tls_psk *psk;
    uint8_t key[TLS_PSK_KEY_MAX];
    cr_assert_eq(tls_psk_load(FILE_OF("psk.txt"), &psk, &problem), OK);
    cr_assert_eq(tls_psk_count(psk), 2);
    cr_assert_eq(tls_psk_find(psk, "sensor-1", key), 16);
    cr_assert_eq(key[1], 0x11);
    cr_assert_eq(tls_psk_find(psk, "room:7", key), 8);
    cr_assert_eq(tls_psk_find(psk, "room", key), 0);
    cr_assert_eq(tls_psk_find(psk, "", key), 0);
    tls_psk_free(psk);
    refuse_psk("# nothing\n\n", "/psk", "no identity");
    refuse_psk("a:00\nb\n", "/psk:2", "identity:key");
    refuse_psk(":00\n", "/psk:1", "identity");
    refuse_psk("a:0\n", "/psk:1", "hexadecimal");
    refuse_psk("a:zz\n", "/psk:1", "hexadecimal");
    refuse_psk("a:\n", "/psk:1", "hexadecimal");
    refuse_psk("a:00\nb:00\na:01\n", "/psk:3", "line 1");
    refuse_psk("a\xff:00\n", "/psk:1", "UTF-8");
}

static struct tls_tickets *
tickets_from(const char *path)
{
    struct tls_tickets *tickets;
    cr_assert_eq(tls_tickets_new(path, &tickets, &problem), OK, "%s", problem.text);
    return tickets;
}

#define KEY_A "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\n"
#define KEY_B "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC\n"

Test(io_tls_context, ticket_keys_of_a_file_open_what_others_sealed)
{
    struct tls_tickets *a = tickets_from(WRITE("a", "# one key\n" KEY_A));
    struct tls_tickets *ba = tickets_from(WRITE("ba", KEY_B KEY_A));
    struct tls_tickets *b = tickets_from(WRITE("b", KEY_B));
    struct tls_ticket_head head;
    uint8_t data[100], sealed[100];
    memset(data, 7, sizeof data);
    memcpy(sealed, data, sizeof data);
    cr_assert_eq(tls_ticket_seal(a, 0, sealed, sizeof sealed, &head), OK);
    cr_assert_arr_neq(sealed, data, sizeof data);
    uint8_t copy[100];
    memcpy(copy, sealed, sizeof copy);
    cr_assert_eq(tls_ticket_open(b, 0, copy, sizeof copy, &head), TICKET_UNKNOWN);
    cr_assert_eq(tls_ticket_open(ba, 0, copy, sizeof copy, &head), TICKET_OLD);
    cr_assert_arr_eq(copy, data, sizeof data);
    memcpy(copy, sealed, sizeof copy);
    cr_assert_eq(tls_ticket_open(a, 0, copy, sizeof copy, &head), TICKET_GOOD);
    memcpy(copy, sealed, sizeof copy);
    copy[50] ^= 1;
    cr_assert_eq(tls_ticket_open(a, 0, copy, sizeof copy, &head), TICKET_UNKNOWN);
    tls_tickets_free(a);
    tls_tickets_free(ba);
    tls_tickets_free(b);
}

Test(io_tls_context, random_ticket_keys_come_and_go)
{
    const uint64_t life = TLS_TICKET_LIFE_S * 1000ull;
    struct tls_tickets *tickets = tickets_from(NULL);
    struct tls_ticket_head head;
    uint8_t data[64] = "secret", copy[64];
    cr_assert_eq(tls_ticket_seal(tickets, 1000, data, sizeof data, &head), OK);
    const struct {
        uint64_t at;
        enum tls_ticket_answer answer;
    } steps[] = {{1000 + life - 1, TICKET_GOOD},
                 {1000 + life, TICKET_OLD},
                 {1000 + 2 * life - 1, TICKET_OLD},
                 {1000 + 2 * life, TICKET_UNKNOWN}};
    for (uint32_t i = 0; i < ARRAY_LEN(steps); i++) {
        memcpy(copy, data, sizeof copy);
        cr_expect_eq(tls_ticket_open(tickets, steps[i].at, copy, sizeof copy, &head),
                     steps[i].answer, "step %u", i);
    }
    // Nobody came for long: the key that slept is no key any more.
    cr_assert_eq(tls_ticket_seal(tickets, 2000 + 2 * life, data, sizeof data, &head), OK);
    cr_assert_eq(tls_ticket_open(tickets, 2000 + 10 * life, data, sizeof data, &head),
                 TICKET_UNKNOWN);
    tls_tickets_free(tickets);
}

static void
refuse_tickets(const char *content, const char *where, const char *why)
{
    settings.ticket_key_file = WRITE("tickets", content);
    refuse_it(where, why);
}

Test(io_tls_context, bad_ticket_files_are_named)
{
    refuse_tickets("", "/tickets", "no ticket key");
    refuse_tickets("QUFB\n", "/tickets:1", "48 random bytes");
    refuse_tickets(KEY_A "!\n", "/tickets:2", "48 random bytes");
    refuse_tickets(KEY_A KEY_A, "/tickets:2", "twice");
    settings.ticket_key_file = FILE_OF("tickets.txt");
    accept_it();
    cr_assert_str_eq(context->notes, "");
    settings.require_certificate = true;
    settings.ca_file = FILE_OF("clients.pem");
    accept_it();
    cr_assert_not_null(strstr(context->notes, "ticket_keyfile"));
}

// ---- DER ----------------------------------------------------------------------------------------

Test(io_tls_context, a_common_name_with_a_zero_byte_is_none)
{
    struct secret_file file;
    struct certificate certificate;
    cr_assert_eq(secret_file_read(FILE_OF("nul-name.der"), 65536, &file, &problem), OK);
    cr_assert(certificate_parse(slice_of(file.data, file.len), &certificate));
    cr_assert_null(certificate_common_name(&certificate));
    char *subject = certificate_subject(&certificate);
    cr_assert_str_eq(subject, "CN=sensor\\001");
    free(subject);
    secret_file_free(&file);
}

Test(io_tls_context, a_common_name_that_is_not_utf8_is_none)
{
    struct secret_file file;
    struct certificate certificate;
    cr_assert_eq(secret_file_read(FILE_OF("nul-name.der"), 65536, &file, &problem), OK);
    uint8_t *at = file.data;
    while ((at = memmem(at, file.len - (size_t)(at - file.data), "sensor\0", 7)) != NULL)
        at[6] = 'X'; // as it was before
    cr_assert(certificate_parse(slice_of(file.data, file.len), &certificate));
    char *name = certificate_common_name(&certificate);
    cr_assert_str_eq(name, "sensorX1");
    free(name);
    for (at = file.data; (at = memmem(at, file.len - (size_t)(at - file.data), "sensorX", 7));)
        at[6] = 0xff;
    cr_assert(certificate_parse(slice_of(file.data, file.len), &certificate));
    cr_assert_null(certificate_common_name(&certificate));
    secret_file_free(&file);
}

Test(io_tls_context, a_certificate_cut_anywhere_is_no_certificate)
{
    struct secret_file file;
    struct certificate certificate;
    cr_assert_eq(secret_file_read(FILE_OF("nul-name.der"), 65536, &file, &problem), OK);
    for (uint32_t len = 0; len < file.len; len++) {
        uint8_t *copy = malloc(len + 1);
        memcpy(copy, file.data, len);
        cr_assert_not(certificate_parse(slice_of(copy, len), &certificate));
        free(copy);
    }
    secret_file_free(&file);
}
