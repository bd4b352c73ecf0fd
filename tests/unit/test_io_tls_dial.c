// test_io_tls_dial.c - TLS between nodes: both sides are ours, and nobody else is let in by either.
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/cluster.h"
#include "tests/harness/tls_client.h"

#define FILE_OF(name) TERN_CERTIFICATES "/" name

enum { ROOM = 64 * 1024, CHUNK_RANDOM = 0 };

// One side, and what it has read.
struct side {
    struct tls *tls;
    struct outq out;
    uint8_t plain[ROOM];
    uint32_t plain_len;
};

static const struct node_keys ours = {
    .count = 2,
    .keys = {{.identity = "first", .bytes = "0123456789abcdef0123456789abcde"},
             {.identity = "second", .bytes = "another one of thirty-two bytes"}},
};
static struct outq_pool pool;
static struct side dialler, acceptor;
static struct tls_context *dials, *accepts;
static struct tls_pair *pair;
static uint32_t chunk; // a side gets so many bytes at a time
static uint32_t seed = 1;

static void
set_up(void)
{
    chunk = ROOM;
    dials = tls_context_of_nodes(&ours, 2);
    accepts = tls_context_of_nodes(&ours, 2);
    outq_init(&dialler.out);
    outq_init(&acceptor.out);
}

static void
side_end(struct side *side)
{
    tls_free(side->tls);
    outq_free(&side->out, &pool);
    memset(side, 0, sizeof *side);
    outq_init(&side->out);
}

static void
tear_down(void)
{
    side_end(&dialler);
    side_end(&acceptor);
    if (pair)
        pair_free(pair);
    tls_context_unref(dials);
    tls_context_unref(accepts);
    cr_expect_eq(pool.in_use, 0);
    outq_pool_drain(&pool);
}

TestSuite(io_tls_dial, .init = set_up, .fini = tear_down);

static void
take(struct side *side, struct slice bytes)
{
    uint32_t got;
    tls_input(side->tls, bytes);
    do {
        cr_assert_lt(side->plain_len, ROOM);
        got = tls_read(side->tls, &side->out, &pool, side->plain + side->plain_len,
                       ROOM - side->plain_len);
        side->plain_len += got;
    } while (got > 0);
}

static uint32_t
next_chunk(void)
{
    if (chunk != CHUNK_RANDOM)
        return chunk;
    seed = seed * 1103515245u + 12345u;
    return 1 + (seed >> 16) % (seed & 1024 ? 7 : 700);
}

// Each piece in memory of its exact size.
static void
carry(struct side *from, struct side *to)
{
    while (outq_bytes(&from->out) > 0) {
        uint32_t n = min_u32(next_chunk(), (uint32_t)outq_bytes(&from->out));
        uint8_t *copy = mem_alloc(n);
        memcpy(copy, from->out.buf + from->out.head, n);
        outq_consume(&from->out, &pool, n);
        take(to, slice_of(copy, n));
        mem_free(copy);
    }
}

static void
begin(void)
{
    side_end(&dialler);
    side_end(&acceptor);
    dialler.tls = tls_dial(dials, 1);
    acceptor.tls = tls_new(accepts, 0);
    take(&dialler, slice_of(NULL, 0));
    cr_assert_eq(dialler.tls->state, TLS_HANDSHAKE);
    cr_assert_gt(outq_bytes(&dialler.out), 0, "it speaks first");
}

static bool
shake(void)
{
    begin();
    for (int i = 0; i < 4; i++) {
        carry(&dialler, &acceptor);
        carry(&acceptor, &dialler);
    }
    return dialler.tls->state == TLS_OPEN && acceptor.tls->state == TLS_OPEN;
}

static void
expect_carried(struct side *from, struct side *to, uint32_t len)
{
    static uint8_t data[ROOM];
    for (uint32_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    to->plain_len = 0;
    cr_assert_eq(tls_write(from->tls, &from->out, &pool, slice_of(data, len)), OK);
    carry(from, to);
    cr_assert_eq(to->plain_len, len);
    cr_assert_arr_eq(to->plain, data, len);
}

static void
failure_of(const struct side *side, const char *part)
{
    char text[TLS_FAILURE_MAX];
    cr_assert_eq(side->tls->state, TLS_FAILED);
    tls_failure(side->tls, text);
    cr_assert_not_null(strstr(text, part), "%s", text);
}

static void
accept_by(const struct node_keys *keys)
{
    tls_context_unref(accepts);
    accepts = tls_context_of_nodes(keys, 2);
}

// ---- Nodes among themselves ---------------------------------------------------------------------

Test(io_tls_dial, nodes_open_and_carry_bytes_both_ways)
{
    cr_assert(shake());
    cr_assert_str_eq(tls_version_text(dialler.tls), "TLSv1.3");
    cr_assert_not_null(strstr(tls_cipher_text(dialler.tls), "128"));
    cr_assert_str_eq(tls_peer_name(acceptor.tls), "first");
    cr_assert_null(tls_peer_name(dialler.tls));
    cr_assert_not(tls_resumed(dialler.tls));
    static const uint32_t lens[] = {1, 100, 16384, 50000};
    for (uint32_t i = 0; i < ARRAY_LEN(lens); i++) {
        expect_carried(&dialler, &acceptor, lens[i]);
        expect_carried(&acceptor, &dialler, lens[i]);
    }
}

Test(io_tls_dial, bytes_may_be_split_anywhere)
{
    for (uint32_t i = 0; i < 40; i++) {
        chunk = i == 0 ? 1 : CHUNK_RANDOM;
        seed = i;
        cr_assert(shake(), "seed %u", i);
        expect_carried(&dialler, &acceptor, 1000 + i * 500);
        expect_carried(&acceptor, &dialler, 1000 + i * 500);
    }
}

Test(io_tls_dial, the_first_words_may_come_with_the_handshakes_end)
{
    begin();
    carry(&dialler, &acceptor);
    carry(&acceptor, &dialler);
    cr_assert_eq(dialler.tls->state, TLS_OPEN);
    cr_assert_eq(acceptor.tls->state, TLS_HANDSHAKE);
    expect_carried(&dialler, &acceptor, 300); // behind what ends the handshake
    cr_assert_eq(acceptor.tls->state, TLS_OPEN);
}

Test(io_tls_dial, close_notify_ends_it_from_both_sides)
{
    cr_assert(shake());
    tls_close(dialler.tls, &dialler.out, &pool);
    carry(&dialler, &acceptor);
    cr_assert_eq(acceptor.tls->state, TLS_ENDED);
    tls_close(acceptor.tls, &acceptor.out, &pool);
    carry(&acceptor, &dialler);
    cr_assert_eq(dialler.tls->state, TLS_ENDED);
}

Test(io_tls_dial, each_of_two_keys_is_taken_and_the_first_is_used)
{
    const struct node_keys swapped = {.count = 2, .keys = {ours.keys[1], ours.keys[0]}};
    const struct node_keys first = {.count = 1, .keys = {ours.keys[0]}};
    const struct node_keys second = {.count = 1, .keys = {ours.keys[1]}};
    accept_by(&swapped);
    cr_assert(shake());
    cr_assert_str_eq(tls_peer_name(acceptor.tls), "first");
    accept_by(&first);
    cr_assert(shake());
    accept_by(&second);
    cr_assert_not(shake());
    failure_of(&acceptor, "none of ours");
    failure_of(&dialler, "the other node sent alert");
}

Test(io_tls_dial, a_key_that_differs_in_one_bit_opens_nothing)
{
    struct node_keys keys = ours;
    keys.keys[0].bytes[31] ^= 1;
    accept_by(&keys);
    cr_assert_not(shake());
    cr_assert_eq(acceptor.tls->state, TLS_FAILED);
    cr_assert_eq(dialler.tls->state, TLS_FAILED);
    cr_assert_null(tls_peer_name(acceptor.tls));
}

Test(io_tls_dial, a_changed_byte_of_the_answer_opens_nothing)
{
    for (uint32_t at = 0, len = 1; at < len; at++) {
        begin();
        carry(&dialler, &acceptor);
        len = (uint32_t)outq_bytes(&acceptor.out);
        cr_assert_gt(len, 150);
        acceptor.out.buf[acceptor.out.head + at] ^= 0x10;
        carry(&acceptor, &dialler);
        cr_assert_neq(dialler.tls->state, TLS_OPEN, "byte %u", at);
    }
}

// ---- Others -------------------------------------------------------------------------------------

Test(io_tls_dial, a_server_with_a_certificate_is_no_node)
{
    static const char *const files[][2] = {{FILE_OF("chain.pem"), FILE_OF("chain.key")},
                                           {FILE_OF("rsa.pem"), FILE_OF("rsa.key")}};
    for (uint32_t i = 0; i < ARRAY_LEN(files); i++) {
        struct tls_settings settings = {.cert_file = files[i][0], .key_file = files[i][1]};
        struct file_problem problem = {""};
        tls_context_unref(accepts);
        cr_assert_eq(tls_context_new(&settings, 2, &accepts, &problem), OK, "%s", problem.text);
        cr_assert_not(shake());
        cr_assert_eq(dialler.tls->state, TLS_FAILED);
        cr_assert_neq(acceptor.tls->state, TLS_OPEN);
    }
}

Test(io_tls_dial, what_is_not_tls_is_no_node)
{
    static const char *const answers[] = {
        "\x20\x03\x00\x85\x00", "HTTP/1.1 400 Bad Request\r\n\r\n", "\x15\x03\x03\x00\x02\x02\x28"};
    for (uint32_t i = 0; i < ARRAY_LEN(answers); i++) {
        begin();
        uint32_t len = i == 0 ? 5 : i == 1 ? (uint32_t)strlen(answers[1]) : 7;
        take(&dialler, slice_of(answers[i], len));
        cr_assert_eq(dialler.tls->state, TLS_FAILED, "%u", i);
    }
}

static bool
client_shakes(const struct tls_client_options *options, bool without_exchange)
{
    if (pair)
        pair_free(pair);
    pair = pair_new(accepts, options);
    if (without_exchange)
        cr_assert_eq(wolfSSL_no_dhe_psk(pair->client), 0);
    return pair_shake(pair);
}

Test(io_tls_dial, who_has_no_key_does_not_come_in)
{
    struct tls_client_options options = {.version = WOLFSSL_TLSV1_3};
    cr_assert_not(client_shakes(&options, false));
    cr_assert_eq(pair->tls->state, TLS_FAILED);
    options.cert = FILE_OF("chain.pem");
    options.key = FILE_OF("chain.key");
    cr_assert_not(client_shakes(&options, false));
    cr_assert_eq(pair->tls->state, TLS_FAILED);
    options = (struct tls_client_options){.psk_identity = "first",
                                          .psk_key = ours.keys[0].bytes,
                                          .psk_key_len = NODE_KEY_LEN,
                                          .version = WOLFSSL_TLSV1_2};
    cr_assert_not(client_shakes(&options, false));
    cr_assert_eq(pair->tls->state, TLS_FAILED);
    options.version = 0; // both
    cr_assert(client_shakes(&options, false));
    cr_assert_str_eq(tls_version_text(pair->tls), "TLSv1.3");
}

Test(io_tls_dial, the_key_alone_without_an_exchange_is_not_enough)
{
    char text[TLS_FAILURE_MAX];
    struct tls_client_options options = {.psk_identity = "first",
                                         .psk_key = ours.keys[0].bytes,
                                         .psk_key_len = NODE_KEY_LEN,
                                         .version = WOLFSSL_TLSV1_3};
    (void)client_shakes(&options, true);
    cr_assert_eq(pair->tls->state, TLS_FAILED);
    tls_failure(pair->tls, text);
    cr_assert_not_null(strstr(text, "key exchange"), "%s", text);
    cr_assert_eq(pair->plain_len, 0);
}
