// test_access_jwt.h - keys and tokens, made once by Python's cryptography 38; the keys are lost.
#ifndef TERN_TESTS_TEST_ACCESS_JWT_H
#define TERN_TESTS_TEST_ACCESS_JWT_H

#pragma GCC diagnostic ignored "-Wunused-variable" // no test needs all

// clang-format off
// RSA, 2048 bits
static const char rsa_pem[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsgZQry5zij03+EgD20ow\n"
    "wGsrxLkK9TCzZxblTwN48tmqrXsJ/j0KyTZzMqBbRjbUJmj7d8OHjzpRPUn+Sul2\n"
    "dUw5Cm0NFAwRKOKTI1hxLxJLEjQNvt3FOUyMufRJLOAx2pEdE372q5x+WMFxbHem\n"
    "7yKBel05P4okX5V+lXhSL2n6CLYmD4PoC7xLuSdR3Y5wBAgXOF+z6jwiS768+ajl\n"
    "bWk9pg0hUE/ujh3P0w+ayXqc9/PoQnllW+qLDv8ahE3FVI7PVnSH3+a/vgZ1+ikd\n"
    "TDzNHPvP+vJ1N+E77xIipXODgUk/cWmaDAJkPUHJ0hfbtq04GyMiftE32jNySZLH\n"
    "9wIDAQAB\n"
    "-----END PUBLIC KEY-----\n";

static const char rsa_pkcs1[] =
    "-----BEGIN RSA PUBLIC KEY-----\n"
    "MIIBCgKCAQEAsgZQry5zij03+EgD20owwGsrxLkK9TCzZxblTwN48tmqrXsJ/j0K\n"
    "yTZzMqBbRjbUJmj7d8OHjzpRPUn+Sul2dUw5Cm0NFAwRKOKTI1hxLxJLEjQNvt3F\n"
    "OUyMufRJLOAx2pEdE372q5x+WMFxbHem7yKBel05P4okX5V+lXhSL2n6CLYmD4Po\n"
    "C7xLuSdR3Y5wBAgXOF+z6jwiS768+ajlbWk9pg0hUE/ujh3P0w+ayXqc9/PoQnll\n"
    "W+qLDv8ahE3FVI7PVnSH3+a/vgZ1+ikdTDzNHPvP+vJ1N+E77xIipXODgUk/cWma\n"
    "DAJkPUHJ0hfbtq04GyMiftE32jNySZLH9wIDAQAB\n"
    "-----END RSA PUBLIC KEY-----\n";

// expired: its dates do not matter
static const char rsa_certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIICsDCCAZigAwIBAgIBATANBgkqhkiG9w0BAQsFADARMQ8wDQYDVQQDDAZ0b2tl\n"
    "bnMwHhcNMjAwMTAxMDAwMDAwWhcNMjEwMTAxMDAwMDAwWjARMQ8wDQYDVQQDDAZ0\n"
    "b2tlbnMwggEiMA0GCSqGSIb3DQEBAQUAA4IBDwAwggEKAoIBAQCyBlCvLnOKPTf4\n"
    "SAPbSjDAayvEuQr1MLNnFuVPA3jy2aqtewn+PQrJNnMyoFtGNtQmaPt3w4ePOlE9\n"
    "Sf5K6XZ1TDkKbQ0UDBEo4pMjWHEvEksSNA2+3cU5TIy59Eks4DHakR0TfvarnH5Y\n"
    "wXFsd6bvIoF6XTk/iiRflX6VeFIvafoItiYPg+gLvEu5J1HdjnAECBc4X7PqPCJL\n"
    "vrz5qOVtaT2mDSFQT+6OHc/TD5rJepz38+hCeWVb6osO/xqETcVUjs9WdIff5r++\n"
    "BnX6KR1MPM0c+8/68nU34TvvEiKlc4OBST9xaZoMAmQ9QcnSF9u2rTgbIyJ+0Tfa\n"
    "M3JJksf3AgMBAAGjEzARMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQAD\n"
    "ggEBAJYl84Ue0UtpzZOMDtUHtrLOyPXkodBvgpIDpQ07bduK3HGkmTlgtPbCay/9\n"
    "wdIEYKwbRWjovcf4kJEgeGX+5vcZViMaX4FsZ0cpZoX2qS1wShfDqsMqtL8XhJzK\n"
    "bSJxRcsFdAZlxd5ES0M5VfXWes4z1OwpZ5WGmRPBbhbbWYz5H/wkgc0EEuRNE/fR\n"
    "W5MFjYGZSYFrzCOeZQvEUsrBv66axQrR4QMqIUQXSdhoZllkVuD78JsmZI9QyQx4\n"
    "xTf3cnIAWraFUwU6N8E5O0OuveW0/oF3t3dD+Kj/h6cyVwhGD1+hHTYpOxWDIn9Y\n"
    "aMqMF8tCNifMfSukp1OrmpbxWsQ=\n"
    "-----END CERTIFICATE-----\n";

static const char rsa_private[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "bm8ga2V5IGF0IGFsbCwgd2hvZXZlciBmaW5kcyB0aGlz\n"
    "-----END PRIVATE KEY-----\n";

static const char rsa4096_pem[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAuT0C2+g0Q5ssDA1wvc60\n"
    "bflMbdzYSp1+MA5VZAudglvSljv12rSbnSE/7hQiGiP9NNtVZOW1FQxHHFODWkOw\n"
    "MonM+YB+rk6GKzhbkF9K3AB0nnMLgqvuxu6geU18P+PRu+5yG4wt33I/WJvFvheW\n"
    "gs1PgMyes29hRC/K+YZAU7Pqs6WYK829zdp005w1OKkaTJNx5x7uKeJ6IlLTf47r\n"
    "UQ1YyFKTpBjvejwrh0BT6BQMsXqhf8gyDLSLoxMHQOD3/zDos2B2Oho7Ey8SFejG\n"
    "VXhkgp1J6XYww/23+56g5iXi6i4L8AxAwqER2OUvmhd0IzNk6iRs5Fw+CKIJ1XDu\n"
    "41wfxpBsv8AtAZWy2e5vccovn7leG7PPkMG2h4enVR5aYdqhmC0q0SYxCVdLeW3A\n"
    "vaGgfeSeRhaTky+AkyXtK3DJ6DqCGOKlAyQNCuPPOXvBtjW/SqIXtEOJhkqd6M6Z\n"
    "L3Un3b6GKXFUJ8CnN1fq5Vt5gIpOMCaTnlxzEJJ5a74DyHl66T6q/IBUk8NX6lJu\n"
    "K5M2VsnXsmVYsubllmRdX6EDYC4aisi6RH9+H7VsCDn4Z0ShzbvUuloFP7Df7rwN\n"
    "2NiKOhSqKV++MxZX8qTNAYHeESbPuieu7HSLUJORA8SqVrbH+ib4d2XeokTBxsgj\n"
    "N1cFipIgVHTiIzz15nbya+8CAwEAAQ==\n"
    "-----END PUBLIC KEY-----\n";

static const char rsa1024_pem[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDOw7uZaGvhO0Tp8n/fSQkh7Tu5\n"
    "SMnNIo4/hSGEDsqs5SKEYg747D/uRVux+lAYVR/aFwMtvFhQ8GdDSfrFM2wBmrF2\n"
    "V5sVMSRBFScypNaaL/svgSDNTECihjLI5jPOuLvffDAVytdpkVZqcLNU0DHvsMRQ\n"
    "D3G5SOG06EfNrB03iwIDAQAB\n"
    "-----END PUBLIC KEY-----\n";

static const char rsa_exponent3_pem[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIIBIDANBgkqhkiG9w0BAQEFAAOCAQ0AMIIBCAKCAQEA4ThiA12PXO0EjnRfnK3u\n"
    "CNYYUEnxjrhpozEqorArEwLIQWXLj4owYdJK3w5PpwRwk6VO9ZFMR9bCRnVQafAg\n"
    "4AbZTYo6QKopAk8WCj7ILyAEUYK8KJHahqS1kl47uZEIBEmzpeLWBUZiG7mD5uJm\n"
    "S2XcgUcD+KPwE6808DJVoWIZKkV+0qjvor7BfHijY7ap5wVGjBSMmIJboQZjRYIb\n"
    "j9PPTG+vC37AZDYXMaJoNt7q2M3JvWxfOMxxsDNt60NNX6UqCf03MQ6j4wGuDlci\n"
    "iwtO3QHhVZO4t3ykX1Hz4rq1TC+xCcgRIApjDPU1Im6KPilLw9+kBE5V2NA49zq8\n"
    "JQIBAw==\n"
    "-----END PUBLIC KEY-----\n";

// elliptic curves
static const char p256_pem[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE3t04Kh/qcZC2ldWOVAKSCmMsiZ8D\n"
    "T608ZF2DnXy39+hYxUfO6AFapbiojzkwqyfn6EjV+LAyk2hlckToWhf15w==\n"
    "-----END PUBLIC KEY-----\n";

static const char p256_certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBIzCByqADAgECAgEBMAoGCCqGSM49BAMCMBExDzANBgNVBAMMBnRva2VuczAe\n"
    "Fw0yMDAxMDEwMDAwMDBaFw0yMTAxMDEwMDAwMDBaMBExDzANBgNVBAMMBnRva2Vu\n"
    "czBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABN7dOCof6nGQtpXVjlQCkgpjLImf\n"
    "A0+tPGRdg518t/foWMVHzugBWqW4qI85MKsn5+hI1fiwMpNoZXJE6FoX9eejEzAR\n"
    "MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgXZpOO3VI7kUrjnu/\n"
    "0B6HtvmgvKKD5ZKBCn6zmdZKw8gCIQDm4s2QyOauccQjnKeID1kO8uBorT1eEIJA\n"
    "IPUu+482vQ==\n"
    "-----END CERTIFICATE-----\n";

static const char p256_compressed_pem[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgAD3t04Kh/qcZC2ldWOVAKSCmMsiZ8DT608ZF2DnXy39+g=\n"
    "-----END PUBLIC KEY-----\n";

static const char p256_off_curve_pem[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE3t04Kh/qcZC2ldWOVAKSCmMsiZ8DT608ZF2DnXy3\n"
    "9+hYxUfO6AFapbiojzkwqyfn6EjV+LAyk2hlckToWhf15g==\n"
    "-----END PUBLIC KEY-----\n";

static const char p384_pem[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEJRFwWcRSrSBt4YqyPyfcsr8vkWwev/df\n"
    "8Gi3EoFI+FHfQlcjswyHW748v3xz5NrMXPuo0Z0MnSSRAsF3eu2ONHzXSzrGl8iH\n"
    "91zzOL6dwyybaucAxiUV78ckdSca55Lt\n"
    "-----END PUBLIC KEY-----\n";

static const char ed25519_pem[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MCowBQYDK2VwAyEAsUXGeR4fZU/bhaSf0aaz8gZ5wf08Clyxuu8NvmVSHH8=\n"
    "-----END PUBLIC KEY-----\n";

static const char ed25519_certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIHjMIGWoAMCAQICAQEwBQYDK2VwMBExDzANBgNVBAMMBnRva2VuczAeFw0yMDAx\n"
    "MDEwMDAwMDBaFw0yMTAxMDEwMDAwMDBaMBExDzANBgNVBAMMBnRva2VuczAqMAUG\n"
    "AytlcAMhALFFxnkeH2VP24Wkn9Gms/IGecH9PApcsbrvDb5lUhx/oxMwETAPBgNV\n"
    "HRMBAf8EBTADAQH/MAUGAytlcANBAJ+TbExEKhmO2dT/M44HjskOZGiox0EG+3wH\n"
    "tLTn/wkw7WOB/WAxbjmAHg61KbTHdtIDcF0Z0BseOpKKXLlfWwc=\n"
    "-----END CERTIFICATE-----\n";

// {"sub":"meter-7","exp":2000000000}
static const char rs256_token[] =
    "eyJhbGciOiJSUzI1NiIsImtpZCI6InIifQ.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.YwUTEM"
    "CCi8EuOVJMwFotONnBlKC0IWznbFQNK8cM4GoWDFwyav5rT0knN7WYPT1X3qHu9AwyymWammeXjmGLeq0_bQrcXw"
    "p-TI7v19gDQfvpD5iRgdHT6XMrRN77499ode26e5nKldDQoH1bNAIRBaDXkqSyFf0_DiNSojapoIB3nLL_swJ0mn"
    "WS5r_VM0j9NC9mzOoj8UpFvBlueQ6sEdRK22HWgOza8elyJ_WQD0N9zpH90sl1-qWVp0-I7yQBC2XLJIiqYt__k_"
    "X9tifCFIEZnoDSJ-dnrA1oWCYuiY51S3ADGCUutQoPZoTNRVxc1CeH837FetwJ7IDzORp1lg";

static const char rs256_4096_token[] =
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.f8CgRvyop3MciHdQgB3p"
    "6rWHb-LZcpM0Emvcio51YVyvwX1LqWvxr2rtDI3ujljXUPpLMm-KKFi4VhPPRBuR_xE9c492gttzA43CJN2hdQWR"
    "_qPvUaTTQKbL5nrXnZx5aRz3QrwiBv8UD3Sl3LTKc2yZTWqrVt7L_exd1MrEWras5FphDcipnJu7Si0gnpbALHKb"
    "74BLfrbXMzMPxNF2y8rStOA5HmN1EltX-wMaaRPRYQYYp6V8LPRelNjIQ-2MAtvrspAvzk5sAaI6eZimMc5qyKva"
    "4OuSu-GenoWFEVGUAqEepjGr9q2EFFC5oLS9l7vY1Q3wGp6KzGq7LcCw6a-vWGFl1ZVJTsmQqfyPllqFEzg30MNK"
    "fucsGKPCE3qm4CXmecc6jNZrROmc9xiiu9gapoSXfgwSFSYv8rax0gRZVsvFtROCTie2LmdQU8bXPPBp0s6uuYpI"
    "cxZZRWHIgxQaouw_BDTSgY03UNLUxRUsRK-Jd546Z6Xaww3PxR7YMvwSDUje2jPFvcp1IGqaYX-MWnvCmcRlfhd9"
    "HRW2ka1PF6RktzpXAXesnhbK2egUvw7RZKWavItNd6x46bzKjqiFJGBT7vt9ANvFB5UPJjpWdvH10m_BYaXEkMyD"
    "mGmRu8xvbqOSwzVTnfc9K2tA2_Oq-AvPLDMcSzm55Vklb6M";

static const char es256_token[] =
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.MWu1"
    "6ctTmPgRovbPt7MMx2d2QZf06FRxvhjirb1vh1f9nLDVqpp_IBs4scSxNePoXwN9ZnstbNVmBSgxnpy5Xg";

static const char eddsa_token[] =
    "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.PvhWPpYutikmsoNFUW0d"
    "d6-1xPfKZhtaZUBfObrenxr-VkmxuSV2Iw3cTpmc6QwWStWExyCE9TU9odpj6gqrBQ";

// good signatures of algorithms that are not taken
static const char rs384_token[] =
    "eyJhbGciOiJSUzM4NCJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.XNqg7uDr4k6Q0o1jDEDE"
    "TmyIraJFaEqEkt-jQr5T0Vw1AnUPp5ygg1LvxdY4BzxSYL19CjN6Ltpk2tNm1I-qrFUkymXwcjq7ipJKJi9XoWrE"
    "DoGBi7C9SlF0kdJIHGWs-6pxvBE4xQJ7WAPeML6p5D1ZKjDjTvaMDtGI8rJwB75OBy5L2xjz6LMr_yVRbtcIV3dr"
    "DSVbcyde7Kme09Fpf8J_6OwZ1C5WLNr1aU-SXQYzitxl81priLU5qNl8iX0tZkdwGa6mma5DC0mdvdXu51X-yWWf"
    "MspRVJS5grloXSx9J1KGZciJRyXagANlPDEtzboB8Om2gtZ5G7gWjCMZDA";

static const char ps256_token[] =
    "eyJhbGciOiJQUzI1NiJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.l5RFR-z0H5brFTiswyIB"
    "g6paGZD4U6VJyupnrPteKgmxWK-LnQS03xzS_QAe8Z6CY9fA5FZNHQmD8A2311tmbTgVYAVHs-7tIU54Vt7UTI-f"
    "0rKD6eo7DMIbYOGjQWCD1sP5XBq0iPYR91cH35xsheObqVJ8udpspySsFIm8BKIxd2ynMVmkwWZtp3scUfVKfolU"
    "dsqQHREJJAeG-xed96x8e-RFTQCb6x8Z3ShMWBOgKXZa__haXoNiCHMyGmEzeYIgbkx_2UiC7c8nRwrRuw5QhbRa"
    "_LHvkiYmZUWAOsNVYT_xBZ57mp4nit2Vmq113wieGXB5qOVPLbS_Rct0DQ";

static const char es384_token[] =
    "eyJhbGciOiJFUzM4NCJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.1xRPhOiRKPAmuZnV4QTd"
    "T_8Ud8Df9AmQShtJEOJ9wsV6ZRNIuGEeJ3HBF1s0U9qAW1aEXylHikwyPGIwxX3GpPCBfFcztTY3-3I1CWqksd73"
    "CpCKy95Ri0lOfaHaUxql";

// signed by the key, and wrong: another hash, no NULL, short padding, a hash in the wrong place
static const char rs256_sha1_token[] =
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.LNKW86YG4gHKljUD-oT0"
    "a5pHE5A0pcXeOAlFD6C1gmzMFwF7_fI-i1Fd51_FffNO_LNH0Mph4MmF9KymeiSjZxlMkArLq3YKgrPpUx0UMsAG"
    "WZoDqMRl2w6ANItJGFHH3HdvAuWqAq7ITjalZ2Vyb3HBAxtV7Mgv2hZfn0FVmTrZdnLRWBscFW8hTuK7xnp2G4fz"
    "INN4V8W_Uem7EQ-F9Vq7r7FiG0-mJSMdqNDpunr_vh3n0uBGkqn3Gd-GeVVZL_Pfd_TjmLACFFprVq7PqxW0osrx"
    "DhV5NwPfJriQtcwwl2Ls7Kh7tAHiiDWbRyPKtusOsj_XHu0LAtiS2Ou3Yw";

static const char rs256_no_null_token[] =
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.SG787yD0q5lNQR1lgGoi"
    "UO-Slna7NBRGWxs8OvPYTZJH7aFQol5nxyrNpuv7Yh1erCcIzx-bdmqu1MSWuG07PRiUSTFXjPXNjhaDrexyzqpT"
    "4ulEUhn0cv_5UtSNbi6eZUm9d3kwAj0E6KFlNSSQlShm9G0ZgQTcb4xCbn7A7qVa9dlseBctiMNalbBzMK3vBKas"
    "fkRD0NrAy5FKmw6s2uKT3XjkTBJXIejaUcqQUF5XF2ca1VEdEQ3rFqrZwXBOoci5hHZ7fI7w9dt5m3c7JrI6WHs-"
    "3fWc100-MrlpZMc7HseKT8UzxwqYXqyeHb3_4s4m_GA9EQ5nt9EtfppLdw";

static const char rs256_short_padding_token[] =
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.M3NT8qO9Cx0cPYbSala0"
    "sjxNv_pt4btjAKO4lQWWf5J4kC9vXLY7menIydOgQf6q_CrnLviadZF46486Jk1D6SsflT5tfOcC2HyF1U7bCkiX"
    "JV9DMS5OxDlSG83bVWVWOegAbwnpOXpTOvXdVtAk12qA4T1gfD_gf3OSwav7HYu8sKY7QOdS0m4RwZih_nlrG9pu"
    "nb_A7iYxSHnqu2OpT0z1Q81jfC2cO-J0Da1IN6vo9pKW7Bp_hs9AbcS4ZwakTQEjwIygtZFE70M03__JKW32Wapn"
    "OImWnWGROp22ScOtS5RrjflugmdsnvUTeunBwG5F0fFUZzgrWjgiBQKlEw";

static const char rs256_type2_token[] =
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.Ea0UBxAdJN3WvBBq8g2A"
    "psZ76nOGdWZIiEBsoW8ypBeeC3cN2kmq2eOOeIVLCJxb6zaBHnZeN0IVQv0zrXDOzGTCHTHJcLWK0VBgseWnYZqj"
    "2I0VkS0hCZUvc_VKuvL6PM3X9Z1Bi2a7WbdNroCy_75u4wkQoH22nxOIvha4ruZV6i0C2rwYAJzbhSDJK3hgrWE7"
    "x8FnWZ3fl2q4h0GF5WYTJVjLu7NhPUgDl86yDzkaSRy5Hf2zhHEjKNerRTxkh0kP172EuAlS5WdsHwp9nOP1mQeR"
    "Dfn6ezAWQqcpQWAg1Aqzg6MjKI-PgNj3p2jiWqwb88FDHQGwSHVvYbxMRg";

// ECDSA in DER instead of two numbers
static const char es256_der_token[] =
    "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.MEYCIQCTbX_bNStqcSFW"
    "YVeBwOpe1mm0CxXE4YpAjCkEh8z_jgIhAMCedYqyWyfD8WqbIbvOaYLERLTPjB6pmzty2OT7yy1c";

// the same signature, written with S + L
static const char eddsa_long_token[] =
    "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.PvhWPpYutikmsoNFUW0d"
    "d6-1xPfKZhtaZUBfObrenxrrKj8O1IiIe-N4Rjx74-sqStWExyCE9TU9odpj6gqrFQ";

// members of JWKs
static const char rsa_n[] =
    "sgZQry5zij03-EgD20owwGsrxLkK9TCzZxblTwN48tmqrXsJ_j0KyTZzMqBbRjbUJmj7d8OHjzpRPUn-Sul2dUw5"
    "Cm0NFAwRKOKTI1hxLxJLEjQNvt3FOUyMufRJLOAx2pEdE372q5x-WMFxbHem7yKBel05P4okX5V-lXhSL2n6CLYm"
    "D4PoC7xLuSdR3Y5wBAgXOF-z6jwiS768-ajlbWk9pg0hUE_ujh3P0w-ayXqc9_PoQnllW-qLDv8ahE3FVI7PVnSH"
    "3-a_vgZ1-ikdTDzNHPvP-vJ1N-E77xIipXODgUk_cWmaDAJkPUHJ0hfbtq04GyMiftE32jNySZLH9w";

static const char p256_x[] =
    "3t04Kh_qcZC2ldWOVAKSCmMsiZ8DT608ZF2DnXy39-g";

static const char p256_y[] =
    "WMVHzugBWqW4qI85MKsn5-hI1fiwMpNoZXJE6FoX9ec";

static const char ed25519_x[] =
    "sUXGeR4fZU_bhaSf0aaz8gZ5wf08Clyxuu8NvmVSHH8";

// HMAC with a public key as the secret: its PEM, and its modulus
static const char confused_pem_token[] =
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.n4EpnjrWoAvJErb_G4yL"
    "INpJEJpoPGBFnTbjFHyuRU0";

static const char confused_modulus_token[] =
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.gA81-SBoKLksWIJNwdlx"
    "0jTHHlfvLIS5SgZjHD8RTsc";

// by the secret of 64 characters
static const char hs256_token[] =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.1FEg"
    "OuRINQqgi6kRkKCFX62ZF9EEF72bZc0CyvrTLIY";

static const char hs384_token[] =
    "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.udEN"
    "AxvSCOZALEm0_AWuVksh60qWo_YbU44-qmTXHRt5QO6VD2GXuxFCGZlTmj2A";

static const char hs512_token[] =
    "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.6CtJ"
    "nwWZJVrMweZJFDgZd-GjzJeuGLyCtg5qDFcvTCqBH4OxtKf-OvRJqT70iFxnh0prkclisQkopH7MidYmbQ";
// clang-format on

#endif
