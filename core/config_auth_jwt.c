// config_auth_jwt.c - JSON Web Tokens as passwords.
#include "core/base/mem.h"

#include "core/config_loader.h"

#define MATCHES_MAX 16u

static uint32_t
match_count(const struct auth_jwt_config *jwt)
{
    uint32_t count = 0;
    while (jwt->matches && jwt->matches[count])
        count++;
    must(count <= MATCHES_MAX);
    return count;
}

// A match of the same claim is replaced, so that the environment wins over the file.
static char **
place_of(struct auth_jwt_config *jwt, struct slice claim)
{
    uint32_t i = 0, count = match_count(jwt);
    while (i < count &&
           !slice_equal(slice_of(jwt->matches[i], strcspn(jwt->matches[i], " ")), claim))
        i++;
    if (i == MATCHES_MAX)
        return NULL;
    if (i == count) {
        jwt->matches = mem_realloc((void *)jwt->matches, (count + 2) * sizeof(char *));
        jwt->matches[count] = jwt->matches[count + 1] = NULL;
    }
    return &jwt->matches[i];
}

void
config_set_auth_jwt_match(struct config_loader *loader, struct slice value)
{
    struct slice wanted;
    struct slice claim = config_word(value, &wanted);
    if (wanted.len == 0) {
        config_error(loader, "a match is written CLAIM VALUE, as client_id %%c");
        return;
    }
    char **place = place_of(&loader->config->auth_jwt, claim);
    if (!place) {
        config_error(loader, "there are more than %u matches", MATCHES_MAX);
        return;
    }
    size_t size = (size_t)claim.len + wanted.len + 2;
    char *match = mem_alloc(size);
    memcpy(match, claim.data, claim.len);
    match[claim.len] = ' ';
    memcpy(match + claim.len + 1, wanted.data, wanted.len);
    match[size - 1] = '\0';
    mem_free(*place);
    *place = match;
}

void
config_auth_jwt_finish(struct config_loader *loader)
{
    const struct auth_jwt_config *jwt = &loader->config->auth_jwt;
    must(jwt->user_claim != NULL && jwt->acl_claim != NULL);
    if (!jwt->key_file && (jwt->issuer || jwt->audience || jwt->matches))
        config_warning(loader, "auth_jwt_issuer, auth_jwt_audience and auth_jwt_match have no "
                               "effect without auth_jwt_key_file");
}

void
config_auth_jwt_clear(struct auth_jwt_config *jwt)
{
    uint32_t count = match_count(jwt);
    for (uint32_t i = 0; i < count; i++)
        mem_free(jwt->matches[i]);
    mem_free((void *)jwt->matches);
    jwt->matches = NULL;
}
