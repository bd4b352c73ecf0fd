// test_access_passwords.h - hashes that others made, for the tests of users, passwords and SCRAM.
#ifndef TERN_TESTS_UNIT_TEST_ACCESS_PASSWORDS_H
#define TERN_TESTS_UNIT_TEST_ACCESS_PASSWORDS_H

// clang-format off

// By mosquitto_passwd 2.0.11: passwords "open sesame" and, SHA-512, "pass:w\"ord".
#define HASH_MOSQUITTO_PBKDF2                                                                      \
    "$7$101$aAJXhpbplSH++9x0$"                                                                     \
    "8l3UHFv+kds1IRCT439acfL6OxyKJNG3UBQedO/oPf8iR7D8kupB6x6HVIezTf6HY3H1zO4BdryLWn5zqO6JPg=="
#define HASH_MOSQUITTO_SHA512                                                                      \
    "$6$Nw+Z+QWiO73iJfVy$"                                                                         \
    "E6i7pF88ptUe9EWMh5qk7jo7V7ioQ2oqaDC3CTpoJXRKi7Dt9sTTh6ShV+BWdxp0GCtaeJP6o70mQ7qzwJBZCg=="

// By Python's hashlib: "open sesame", as mosquitto_passwd 2.1 writes them: salts of 64 bytes.
#define SALT_64                                                                                    \
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="
#define HASH_PBKDF2_64                                                                             \
    "$7$1000$" SALT_64 "$"                                                                         \
    "q9jtp7V2gz4CI0aoaUAksqNP2aOd80D/ShraaNqgidh7qS276aAFZDF8syq0MwnqVuAxS2o6wDKw6xRye1Xtug=="
#define HASH_SHA512_64                                                                             \
    "$6$" SALT_64 "$"                                                                              \
    "/dp3vr4c3wRylf4joBRMKtevGV18BpUW+zAkmYApRG7Pg8JdRZiq+xxoYAZP5fB3OTko6+sGABH4yD1R/GdNOQ=="

// By Python's hashlib and hmac: "open sesame", 4,096 iterations, salt of bytes 0 to 15.
#define HASH_SCRAM_SHA256                                                                          \
    "$scram-sha-256$4096$AAECAwQFBgcICQoLDA0ODw=="                                                 \
    "$Pm7gH3lMvt263KHgyx3Hqj+x+8qGDuIOBpSMohrErwE="                                                \
    "$YVpzBvqCpPbJVSOjG/NwuUOPoToNs/v8luly2CuQNn4="
#define HASH_SCRAM_SHA512                                                                          \
    "$scram-sha-512$4096$AAECAwQFBgcICQoLDA0ODw=="                                                 \
    "$7gbcQp4kDI4WnxOD/Sz/dHVH7ZuSlmI+R6mfl7w5rbDHRlGVN6v2sbQ5Lpo/+xmsmLgoErvVur6HP3/w2TK4Ng=="    \
    "$Au+lse4w9JtbI6XJ9/wIEU6cf9nshAo8oVg5fjIhMKOvNBXavJtTEM3/j3P38ogjVBdaDlUFrESvrd8vthvBvA=="
// Of RFC 7677 section 3: "pencil".
#define HASH_RFC7677                                                                               \
    "$scram-sha-256$4096$W22ZaJ0SNY7soEsUEjb6gQ=="                                                 \
    "$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="                                                \
    "$wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

// By Python's hashlib: "a\0b", and no password.
#define HASH_WITH_NUL                                                                              \
    "$7$50$AAECAwQFBgcICQoL$"                                                                      \
    "CmjkN7/xqEKM7DTIWxGFEQUmyKCXHyGmEmIenQVXzQ5S23G3YIub3GIyY/bOZ1EA32LTeVvvq680jU3j93q+HQ=="
#define HASH_OF_NOTHING                                                                            \
    "$7$50$AAECAwQFBgcICQoL$"                                                                      \
    "W0wUBXTsQgRaN5mMPlxH7eVOrFCBzgG1M2J63Ii3MmIFDyVjAR2Cv9mmTr26P8zK21HIX94vRaCj7NJJlYoZ8g=="

// From the tests of the reference implementation of argon2: "password", salt "somesalt".
#define HASH_ARGON2ID                                                                              \
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
#define HASH_ARGON2ID_LANES                                                                        \
    "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"
#define HASH_ARGON2ID_LARGE                                                                        \
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

// clang-format on

#endif
