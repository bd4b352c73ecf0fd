// tls_suites.c - the table of cipher suites, and OpenSSL's language of lists as far as it is used.
#include "io/tls_suites.h"

#include <stdio.h>

enum kind { KIND_TLS13, KIND_CERTIFICATE, KIND_PSK };

struct suite {
    const char *name;  // OpenSSL's
    const char *other; // the IANA name, or wolfSSL's where it differs; NULL = none
    const char *tags;  // the groups that it belongs to
    enum kind kind;
    bool by_default;
};

// In order of preference. CBC suites are there for old devices that are named in `ciphers`.
static const struct suite suites[] = {
    {"TLS_AES_128_GCM_SHA256", "TLS13-AES128-GCM-SHA256", "", KIND_TLS13, true},
    {"TLS_AES_256_GCM_SHA384", "TLS13-AES256-GCM-SHA384", "", KIND_TLS13, true},
    {"TLS_CHACHA20_POLY1305_SHA256", "TLS13-CHACHA20-POLY1305-SHA256", "", KIND_TLS13, true},
#define ECDHE ":ALL:DEFAULT:HIGH:TLSv1.2:ECDHE:EECDH:kEECDH:ECDH:"
    {"ECDHE-ECDSA-AES128-GCM-SHA256", NULL,
     ECDHE "AES:AES128:AESGCM:ECDSA:aECDSA:", KIND_CERTIFICATE, true},
    {"ECDHE-RSA-AES128-GCM-SHA256", NULL, ECDHE "AES:AES128:AESGCM:RSA:aRSA:", KIND_CERTIFICATE,
     true},
    {"ECDHE-ECDSA-AES256-GCM-SHA384", NULL,
     ECDHE "AES:AES256:AESGCM:ECDSA:aECDSA:SHA384:", KIND_CERTIFICATE, true},
    {"ECDHE-RSA-AES256-GCM-SHA384", NULL,
     ECDHE "AES:AES256:AESGCM:RSA:aRSA:SHA384:", KIND_CERTIFICATE, true},
    {"ECDHE-ECDSA-CHACHA20-POLY1305", NULL, ECDHE "CHACHA20:ECDSA:aECDSA:", KIND_CERTIFICATE, true},
    {"ECDHE-RSA-CHACHA20-POLY1305", NULL, ECDHE "CHACHA20:RSA:aRSA:", KIND_CERTIFICATE, true},
#define CBC ":ALL:HIGH:ECDHE:EECDH:kEECDH:ECDH:AES:CBC:"
    {"ECDHE-ECDSA-AES128-SHA256", NULL, CBC "AES128:SHA256:ECDSA:aECDSA:TLSv1.2:", KIND_CERTIFICATE,
     false},
    {"ECDHE-RSA-AES128-SHA256", NULL, CBC "AES128:SHA256:RSA:aRSA:TLSv1.2:", KIND_CERTIFICATE,
     false},
    {"ECDHE-ECDSA-AES256-SHA384", NULL, CBC "AES256:SHA384:ECDSA:aECDSA:TLSv1.2:", KIND_CERTIFICATE,
     false},
    {"ECDHE-RSA-AES256-SHA384", NULL, CBC "AES256:SHA384:RSA:aRSA:TLSv1.2:", KIND_CERTIFICATE,
     false},
    {"ECDHE-ECDSA-AES128-SHA", NULL, CBC "AES128:SHA:SHA1:ECDSA:aECDSA:", KIND_CERTIFICATE, false},
    {"ECDHE-RSA-AES128-SHA", NULL, CBC "AES128:SHA:SHA1:RSA:aRSA:", KIND_CERTIFICATE, false},
    {"ECDHE-ECDSA-AES256-SHA", NULL, CBC "AES256:SHA:SHA1:ECDSA:aECDSA:", KIND_CERTIFICATE, false},
    {"ECDHE-RSA-AES256-SHA", NULL, CBC "AES256:SHA:SHA1:RSA:aRSA:", KIND_CERTIFICATE, false},
#define PSK ":ALL:DEFAULT:HIGH:TLSv1.2:PSK:"
    {"ECDHE-PSK-CHACHA20-POLY1305", NULL, PSK "ECDHE:CHACHA20:", KIND_PSK, true},
    {"ECDHE-PSK-AES128-CBC-SHA256", NULL, PSK "ECDHE:AES:AES128:CBC:SHA256:", KIND_PSK, true},
    {"PSK-AES128-GCM-SHA256", NULL, PSK "AES:AES128:AESGCM:", KIND_PSK, true},
    {"PSK-AES256-GCM-SHA384", NULL, PSK "AES:AES256:AESGCM:SHA384:", KIND_PSK, true},
    {"PSK-CHACHA20-POLY1305", NULL, PSK "CHACHA20:", KIND_PSK, true},
    {"PSK-AES128-CBC-SHA256", NULL, PSK "AES:AES128:CBC:SHA256:", KIND_PSK, true},
    {"PSK-AES256-CBC-SHA384", NULL, PSK "AES:AES256:CBC:SHA384:", KIND_PSK, true},
};

enum pick { PICK_OUT, PICK_IN, PICK_NEVER };

struct selection {
    enum pick pick[ARRAY_LEN(suites)];
    uint8_t order[ARRAY_LEN(suites)]; // as the list names them
    uint32_t count;
    char *unknown;
};

static void
append(char *text, const char *separator, struct slice word)
{
    size_t used = strlen(text);
    (void)snprintf(text + used, TLS_SUITES_TEXT_MAX - used, "%s%.*s", used > 0 ? separator : "",
                   (int)word.len, (const char *)word.data);
}

static bool
is_name(const struct suite *suite, struct slice word)
{
    return slice_equal(word, slice_str(suite->name)) ||
           (suite->other && slice_equal(word, slice_str(suite->other)));
}

// Whether the suite belongs to all groups of a word like ECDHE+AESGCM.
static bool
has_tags(const struct suite *suite, struct slice word)
{
    while (word.len > 0) {
        const uint8_t *plus = memchr(word.data, '+', word.len);
        uint32_t len = plus ? (uint32_t)(plus - word.data) : word.len;
        char tag[40];
        if (len == 0 || len + 3 > sizeof tag)
            return false;
        (void)snprintf(tag, sizeof tag, ":%.*s:", (int)len, (const char *)word.data);
        if (!strstr(suite->tags, tag))
            return false;
        uint32_t used = len + (plus ? 1 : 0);
        word = slice_of(word.data + used, word.len - used);
    }
    return true;
}

static void
pick(struct selection *selection, uint32_t i, enum pick how)
{
    must(i < ARRAY_LEN(suites));
    if (selection->pick[i] == PICK_NEVER)
        return;
    if (how == PICK_IN && selection->pick[i] == PICK_OUT) {
        bool ordered = false; // taken out and put in again, it keeps its first place
        for (uint32_t k = 0; k < selection->count; k++)
            ordered = ordered || selection->order[k] == i;
        if (!ordered)
            selection->order[selection->count++] = (uint8_t)i;
    }
    selection->pick[i] = how;
}

static bool
wanted_kind(const struct tls_suites_wanted *wanted, bool tls13, const struct suite *suite)
{
    if (tls13)
        return suite->kind == KIND_TLS13;
    return suite->kind == (wanted->psk ? KIND_PSK : KIND_CERTIFICATE);
}

static void
apply_word(struct selection *selection, const struct tls_suites_wanted *wanted, bool tls13,
           struct slice word)
{
    enum pick how = PICK_IN;
    if (word.data[0] == '@') // @STRENGTH, @SECLEVEL: the table is in order
        return;
    if (word.data[0] == '!' || word.data[0] == '-' || word.data[0] == '+') {
        how = word.data[0] == '!' ? PICK_NEVER : PICK_OUT;
        bool reorder = word.data[0] == '+';
        word = slice_of(word.data + 1, word.len - 1);
        if (reorder || word.len == 0)
            return;
    }
    bool known = false, all = slice_equal(word, slice_str("DEFAULT"));
    for (uint32_t i = 0; i < ARRAY_LEN(suites); i++) {
        bool named = is_name(&suites[i], word);
        if (!named && !has_tags(&suites[i], word))
            continue;
        known = true;
        // DEFAULT means our default, which has no CBC beside certificates.
        if (wanted_kind(wanted, tls13, &suites[i]) && (!all || suites[i].by_default))
            pick(selection, i, how);
    }
    if (!known && how == PICK_IN) // what is excluded and does not exist is excluded
        append(selection->unknown, ", ", word);
}

static void
apply_list(struct selection *selection, const struct tls_suites_wanted *wanted, bool tls13,
           const char *list)
{
    for (const char *at = list; *at;) {
        size_t len = strcspn(at, ":, ");
        if (len > 0)
            apply_word(selection, wanted, tls13, slice_of(at, len));
        at += len + (at[len] ? 1 : 0);
    }
}

static void
apply_default(struct selection *selection, const struct tls_suites_wanted *wanted, bool tls13)
{
    for (uint32_t i = 0; i < ARRAY_LEN(suites); i++)
        if (suites[i].by_default && wanted_kind(wanted, tls13, &suites[i]))
            pick(selection, i, PICK_IN);
}

// One of the two lists, appended to ret_list.
static err_t
one_list(const struct tls_suites_wanted *wanted, bool tls13, char *ret_list, char *ret_unknown,
         struct file_problem *ret_problem)
{
    const char *list = tls13 ? wanted->ciphers_tls13 : wanted->ciphers;
    struct selection selection = {.count = 0};
    selection.unknown = ret_unknown;
    if (list)
        apply_list(&selection, wanted, tls13, list);
    else
        apply_default(&selection, wanted, tls13);
    bool any = false;
    for (uint32_t k = 0; k < selection.count; k++) {
        uint32_t i = selection.order[k];
        if (selection.pick[i] != PICK_IN)
            continue;
        any = true;
        append(ret_list, ":", slice_str(tls13 ? suites[i].other : suites[i].name));
    }
    must(strlen(ret_list) < TLS_SUITES_TEXT_MAX - 1);
    if (!any)
        return file_fail(ret_problem, "%s %.200s leaves no cipher suite that is available here%s",
                         tls13 ? "ciphers_tls1.3" : "ciphers", list,
                         wanted->psk ? " with a pre-shared key" : "");
    return OK;
}

err_t
tls_suites(const struct tls_suites_wanted *wanted, char ret_list[TLS_SUITES_TEXT_MAX],
           char ret_unknown[TLS_SUITES_TEXT_MAX], struct file_problem *ret_problem)
{
    must(wanted != NULL && ret_problem != NULL);
    ret_list[0] = ret_unknown[0] = '\0';
    err_t err = one_list(wanted, true, ret_list, ret_unknown, ret_problem);
    if (err == OK && !wanted->tls13_only)
        err = one_list(wanted, false, ret_list, ret_unknown, ret_problem);
    return err;
}
