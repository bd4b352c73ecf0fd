// config_auth_http.c - the HTTP service that is asked who may come and do what.
#include <stdio.h>
#include <strings.h>

#include "core/base/mem.h"

#include "core/config_loader.h"

#define HEADERS_MAX 32u

static uint32_t
header_count(const struct auth_http_config *http)
{
    uint32_t count = 0;
    while (http->headers && http->headers[count])
        count++;
    return count;
}

// A token [RFC 9110 section 5.6.2].
static bool
is_name(struct slice text)
{
    for (uint32_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return text.len > 0;
}

// Of the request's own making: a second one would contradict it.
static bool
is_ours(struct slice name)
{
    static const char *const ours[] = {"Content-Type", "Content-Length",    "Host",
                                       "Connection",   "Transfer-Encoding", "Expect"};
    for (uint32_t i = 0; i < ARRAY_LEN(ours); i++)
        if (strlen(ours[i]) == name.len &&
            strncasecmp(ours[i], (const char *)name.data, name.len) == 0)
            return true;
    return false;
}

static void
wipe(char *header)
{
    explicit_bzero(header, strlen(header));
    mem_free(header);
}

// A header of the same name is replaced, so that the environment wins over the file. Its value may
// be a secret: no message shows it.
void
config_set_auth_http_header(struct config_loader *loader, struct slice value)
{
    struct auth_http_config *http = &loader->config->auth_http;
    const uint8_t *colon = value.len > 0 ? memchr(value.data, ':', value.len) : NULL;
    struct slice name = {value.data, colon ? (uint32_t)(colon - value.data) : 0};
    if (!is_name(name)) {
        config_error(loader, "a header is written NAME: VALUE");
        return;
    }
    for (uint32_t i = name.len; i < value.len; i++)
        if ((value.data[i] < ' ' && value.data[i] != '\t') || value.data[i] == 0x7f) {
            config_error(loader, "there is a control character in the header's value");
            return;
        }
    if (is_ours(name)) {
        config_error(loader, "the header %.*s is the broker's own to set", (int)name.len,
                     (const char *)name.data);
        return;
    }
    char *header = mem_strndup(value.data, value.len);
    uint32_t count = header_count(http);
    for (uint32_t i = 0; i < count; i++)
        if (strncasecmp(http->headers[i], header, name.len + 1) == 0) {
            wipe(http->headers[i]);
            http->headers[i] = header;
            return;
        }
    if (count == HEADERS_MAX) {
        config_error(loader, "there are more than %u headers", HEADERS_MAX);
        wipe(header);
        return;
    }
    http->headers = mem_realloc((void *)http->headers, (count + 2) * sizeof(char *));
    http->headers[count] = header;
    http->headers[count + 1] = NULL;
}

// ---- What follows -------------------------------------------------------------------------------

// The host of an http or https URL; empty: it is none, or says who asks.
static struct slice
host_of(const char *url, size_t scheme_len)
{
    const char *host = url + scheme_len;
    size_t len = strcspn(host, "/?#");
    if (memchr(host, '@', len))
        len = 0;
    for (const char *p = url; *p; p++)
        if ((uint8_t)*p <= ' ' || (uint8_t)*p >= 0x7f)
            len = 0;
    if (memchr(host, '[', len))
        return slice_of(host, strcspn(host, "]") + 1);
    return slice_of(host, min_u64(len, strcspn(host, ":")));
}

static bool
is_this_machine(struct slice host)
{
    bool digits = true;
    for (uint32_t i = 0; i < host.len; i++)
        digits = digits && (host.data[i] == '.' || (host.data[i] >= '0' && host.data[i] <= '9'));
    return config_is(host, "localhost") || config_is(host, "[::1]") ||
           (digits && host.len > 4 && memcmp(host.data, "127.", 4) == 0);
}

static void
check_url(struct config_loader *loader, const char *key, const char *url)
{
    if (!url)
        return;
    bool https = strncasecmp(url, "https://", 8) == 0;
    if (!https && strncasecmp(url, "http://", 7) != 0) {
        config_error(loader, "%s begins with http:// or https://", key);
        return;
    }
    struct slice host = host_of(url, https ? 8 : 7);
    if (host.len == 0)
        config_error(loader,
                     "%s is no URL, as https://auth.example.org/mqtt is; a secret goes into "
                     "auth_http_header, blanks are %%20",
                     key);
    else if (!https && !is_this_machine(host))
        config_warning(loader, "%s: without https, passwords can be read on their way", key);
}

void
config_auth_http_finish(struct config_loader *loader)
{
    const struct auth_http_config *http = &loader->config->auth_http;
    check_url(loader, "auth_http_url", http->url);
    check_url(loader, "auth_http_superuser_url", http->superuser_url);
    check_url(loader, "auth_http_acl_url", http->acl_url);
    if (http->superuser_url && !http->url)
        config_warning(loader, "auth_http_superuser_url has no effect without auth_http_url, which "
                               "is asked first");
    if (!http->url && !http->acl_url && (http->ca_file || http->headers))
        config_warning(loader, "auth_http_ca_file and auth_http_header have no effect without "
                               "auth_http_url or auth_http_acl_url");
}

void
config_auth_http_clear(struct auth_http_config *http)
{
    uint32_t count = header_count(http);
    for (uint32_t i = 0; i < count; i++)
        wipe(http->headers[i]);
    mem_free((void *)http->headers);
    http->headers = NULL;
}
