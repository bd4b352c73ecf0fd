// test_config_auth_jwt.c - the keys of JSON Web Tokens.
#include "test_config.h"

Test(config_auth_jwt, off_unless_there_are_keys)
{
    struct config *config = load_clean("");
    cr_assert_null(config->auth_jwt.key_file);
    cr_assert_null(config->auth_jwt.issuer);
    cr_assert_null(config->auth_jwt.audience);
    cr_assert_null(config->auth_jwt.matches);
    cr_assert_str_eq(config->auth_jwt.user_claim, "sub");
    cr_assert_str_eq(config->auth_jwt.acl_claim, "acl");
    cr_assert_eq(config->auth_jwt.leeway_s, 10);
    config_free(config);
}

Test(config_auth_jwt, every_key)
{
    struct config *config = load_clean("auth_jwt_key_file /etc/my keys.jwks\n"
                                       "auth_jwt_issuer https://id.example.org\n"
                                       "auth_jwt_audience mqtt\n"
                                       "auth_jwt_user_claim username\n"
                                       "auth_jwt_acl_claim rights\n"
                                       "auth_jwt_leeway 0\n"
                                       "auth_jwt_match client_id   %c\n"
                                       "auth_jwt_match scope read %u write\n");
    cr_assert_str_eq(config->auth_jwt.key_file, "/etc/my keys.jwks");
    cr_assert_str_eq(config->auth_jwt.issuer, "https://id.example.org");
    cr_assert_str_eq(config->auth_jwt.audience, "mqtt");
    cr_assert_str_eq(config->auth_jwt.user_claim, "username");
    cr_assert_str_eq(config->auth_jwt.acl_claim, "rights");
    cr_assert_eq(config->auth_jwt.leeway_s, 0);
    cr_assert_str_eq(config->auth_jwt.matches[0], "client_id %c");
    cr_assert_str_eq(config->auth_jwt.matches[1], "scope read %u write");
    cr_assert_null(config->auth_jwt.matches[2]);
    config_free(config);
}

Test(config_auth_jwt, a_match_of_the_same_claim_is_replaced)
{
    char variable[] = "TERNMQ_AUTH_JWT_MATCH=b %u";
    char *env[] = {variable, NULL};
    struct config *config = load_env("auth_jwt_key_file /k\nauth_jwt_match a %c\n"
                                     "auth_jwt_match b x\nauth_jwt_match a y\n",
                                     env);
    cr_assert_not_null(config, "%s", report.errors[0].text);
    cr_assert_str_eq(config->auth_jwt.matches[0], "a y");
    cr_assert_str_eq(config->auth_jwt.matches[1], "b %u");
    cr_assert_null(config->auth_jwt.matches[2]);
    config_free(config);
}

Test(config_auth_jwt, what_is_wrong_is_told)
{
    expect_error("auth_jwt_match client_id\n", "t.conf:1: ");
    cr_assert_not_null(strstr(report.errors[0].text, "CLAIM VALUE"), "%s", report.errors[0].text);
    expect_error("auth_jwt_leeway 3601\n", "t.conf:1: ");
    expect_warning("auth_jwt_audience mqtt\n", "no effect without auth_jwt_key_file");
    char text[1024];
    int len = 0;
    for (unsigned i = 0; i < 17; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, "auth_jwt_match c%u x\n", i);
    expect_error(text, "t.conf:17: ");
    cr_assert_not_null(strstr(report.errors[0].text, "more than 16 matches"));
}
