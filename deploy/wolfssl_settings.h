// wolfssl_settings.h - how deploy/wolfssl builds wolfSSL: what is in, what is left out, and why.
//
// It is installed as user_settings.h beside wolfSSL's headers, so that whoever includes them sees
// the same structures as the library.
#ifndef TERN_WOLFSSL_SETTINGS_H
#define TERN_WOLFSSL_SETTINGS_H

#define TERN_WOLFSSL_TUNED 1

// ---- Protocol: TLS 1.2 and 1.3 ------------------------------------------------------------------
#define WOLFSSL_TLS13
#define NO_OLD_TLS // SSL 3, TLS 1.0, 1.1
#define HAVE_TLS_EXTENSIONS
#define HAVE_SUPPORTED_CURVES
#define HAVE_EXTENDED_MASTER
#define HAVE_ENCRYPT_THEN_MAC
#define HAVE_SERVER_RENEGOTIATION_INFO // OpenSSL 3 insists on the answer; renegotiation itself is off
#define HAVE_SNI
#define HAVE_ALPN
#define HAVE_SESSION_TICKET
#define WOLFSSL_NO_DEF_TICKET_ENC_CB // ours: keys that nodes share
#define MICRO_SESSION_CACHE          // off in servers, which have tickets; clients need the code
#define NO_SESSION_CACHE_REF
#define NO_CLIENT_CACHE
#define HAVE_OCSP
#define HAVE_CERTIFICATE_STATUS_REQUEST
#define HAVE_CRL
#define WOLFSSL_STATIC_PSK // PSK suites without Diffie-Hellman: what small devices speak
// Not here: WOLFSSL_EARLY_DATA (replay), HAVE_SECURE_RENEGOTIATION, HAVE_ANON, HAVE_NULL_CIPHER,
// WOLFSSL_STATIC_RSA (no forward secrecy), OPENSSL_EXTRA (37 KB a connection).

// Our verify callback sees the peer's own certificate, also when it is good.
#define WOLFSSL_ALWAYS_VERIFY_CB

#define WOLFSSL_EXTRA_ALERTS // tell the peer what was wrong
#define WOLFSSL_MAX_SUITE_SZ 1024 // bytes of suites that a client may offer; all there are need 700

// ---- Algorithms ---------------------------------------------------------------------------------
#define HAVE_AESGCM
#define GCM_TABLE_4BIT // where there is no AES-NI
#define HAVE_CHACHA
#define HAVE_POLY1305
#define HAVE_ONE_TIME_AUTH
#define HAVE_HKDF
#define HAVE_PBKDF2
#define WOLFSSL_SHA224
#define WOLFSSL_SHA384
#define WOLFSSL_SHA512
#define HAVE_ECC
#define HAVE_ECC384
#define HAVE_ECC521
#define ECC_SHAMIR
#define ECC_TIMING_RESISTANT
#define HAVE_CURVE25519
#define HAVE_ED25519
#define WC_RSA_PSS
#define WC_RSA_BLINDING
#define TFM_TIMING_RESISTANT
#define NO_DH // ECDHE does it
#define NO_DSA
#define NO_RC4
#define NO_DES3
#define NO_DES3_TLS_SUITES
#define NO_MD4
#define NO_MD5
#define NO_PKCS12

// Arithmetic: fixed sizes in assembly, everything else in constant time C.
#define WOLFSSL_SP_MATH_ALL
#define WOLFSSL_SP_INT_NEGATIVE
#define SP_INT_BITS 4096
#define WOLFSSL_HAVE_SP_RSA
#define WOLFSSL_HAVE_SP_ECC
#define WOLFSSL_SP_384
#define WOLFSSL_SP_521
#define WOLFSSL_SP_4096
#define HAVE___UINT128_T 1
#define SIZEOF_LONG      8
#define SIZEOF_LONG_LONG 8
#if defined(__x86_64__)
#define WOLFSSL_X86_64_BUILD
#define WOLFSSL_SP_X86_64_ASM
#define WOLFSSL_SP_ASM
#define WOLFSSL_AESNI
#define USE_INTEL_SPEEDUP
#endif

// ---- The machine --------------------------------------------------------------------------------
#define HAVE_GETADDRINFO 1
#define HAVE_GMTIME_R // gmtime is not for two threads
#define WOLFSSL_USER_IO // the filter's buffers are all the input and output there is
#define WOLFSSL_NO_SOCK
#define NO_FILESYSTEM // files are read by us, and checked as a whole
#define HAVE_PTHREAD 1
#define _POSIX_THREADS

// The kernel's random bytes as they are. wolfSSL's way, a generator seeded from them for each
// connection, with a test of itself before, takes longer.
#ifndef __ASSEMBLER__
#include <sys/random.h>
#include <sys/types.h>
static inline int
tern_random_bytes(unsigned char *to, unsigned int len)
{
    while (len > 0) {
        unsigned int want = len < 256 ? len : 256; // up to there they come whole
        if (getrandom(to, want, 0) != (ssize_t)want)
            return -1;
        to += want;
        len -= want;
    }
    return 0;
}
#define CUSTOM_RAND_GENERATE_BLOCK tern_random_bytes
#endif

#endif
