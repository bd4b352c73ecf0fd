// http_settings.c - what the configuration says of the HTTP service, ready for use.
#include "core/access/http_settings.h"

#include <stdio.h>
#include <strings.h>

#include "core/base/mem.h"

const char *const http_ask_names[HTTP_ASKS] = {
    [HTTP_ASK_USER] = "auth_http_url",
    [HTTP_ASK_SUPERUSER] = "auth_http_superuser_url",
    [HTTP_ASK_ACL] = "auth_http_acl_url",
};

// ---- Building -----------------------------------------------------------------------------------

// The configuration has looked at the scheme; libcurl knows the rest of the grammar.
static err_t
take_url(struct http_settings *settings, enum http_ask ask, const char *url,
         struct file_problem *problem)
{
    if (!url)
        return OK;
    CURLU *parts = curl_url();
    must(parts != NULL);
    CURLUcode rc = curl_url_set(parts, CURLUPART_URL, url, 0);
    char *scheme = NULL;
    if (rc == CURLUE_OK)
        rc = curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0);
    bool web =
        rc == CURLUE_OK && (strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0);
    curl_free(scheme);
    curl_url_cleanup(parts);
    if (!web)
        return file_fail(problem, "%s: %s", http_ask_names[ask],
                         rc == CURLUE_OK ? "neither http nor https" : curl_url_strerror(rc));
    settings->urls[ask] = mem_strdup(url);
    return OK;
}

static void
add_header(struct http_settings *settings, const char *header)
{
    struct curl_slist *longer = curl_slist_append(settings->headers, header);
    must(longer != NULL);
    settings->headers = longer;
}

static void
take_headers(struct http_settings *settings, const struct auth_http_config *http)
{
    add_header(settings, http->request == AUTH_HTTP_FORM
                             ? "Content-Type: application/x-www-form-urlencoded"
                             : "Content-Type: application/json");
    add_header(settings, "Expect:"); // no 100-continue: one round trip less
    for (uint32_t i = 0; http->headers && http->headers[i]; i++)
        add_header(settings, http->headers[i]);
}

static err_t
take_ca(struct http_settings *settings, const char *path, struct file_problem *problem)
{
    if (!path)
        return OK;
    err_t err = secret_file_read(path, HTTP_CA_FILE_MAX, &settings->ca, problem);
    if (err != OK)
        return err;
    struct slice rest = slice_of(settings->ca.data, settings->ca.len), block;
    while (pem_next(&rest, &block))
        if (pem_is(block, "CERTIFICATE"))
            return OK;
    return file_fail(problem, "auth_http_ca_file: %s holds no certificate", path);
}

static void
take_places(struct http_settings *settings, const struct config *config)
{
    settings->place_count = config->listener_count;
    settings->places = mem_zalloc((config->listener_count + 1) * sizeof *settings->places);
    for (uint32_t i = 0; i < config->listener_count; i++) {
        const struct listener_config *listener = &config->listeners[i];
        char text[300];
        (void)snprintf(text, sizeof text, "%u%s%s", listener->port, listener->address ? " " : "",
                       listener->address ? listener->address : "");
        settings->places[i] = (struct http_place){
            mem_strdup(listener->unix_path ? listener->unix_path : text),
            listener->mount_point ? mem_strdup(listener->mount_point) : NULL,
        };
    }
}

err_t
http_settings_new(const struct config *config, struct http_settings **ret_settings,
                  struct file_problem *ret_problem)
{
    const struct auth_http_config *http = &config->auth_http;
    struct http_settings *settings = mem_zalloc(sizeof *settings);
    settings->refs = 1;
    settings->limits = *http;
    settings->limits.url = settings->limits.superuser_url = settings->limits.acl_url = NULL;
    settings->limits.ca_file = NULL;
    settings->limits.headers = NULL;
    take_headers(settings, http);
    take_places(settings, config);
    err_t err = take_url(settings, HTTP_ASK_USER, http->url, ret_problem);
    if (err == OK)
        err = take_url(settings, HTTP_ASK_SUPERUSER, http->superuser_url, ret_problem);
    if (err == OK)
        err = take_url(settings, HTTP_ASK_ACL, http->acl_url, ret_problem);
    if (err == OK)
        err = take_ca(settings, http->ca_file, ret_problem);
    if (err != OK) {
        http_settings_unref(settings);
        return err;
    }
    *ret_settings = settings;
    return OK;
}

struct http_settings *
http_settings_ref(struct http_settings *settings)
{
    settings->refs++;
    return settings;
}

void
http_settings_unref(struct http_settings *settings)
{
    if (!settings)
        return;
    must(settings->refs > 0);
    if (--settings->refs > 0)
        return;
    for (unsigned i = 0; i < HTTP_ASKS; i++)
        mem_free(settings->urls[i]);
    for (struct curl_slist *header = settings->headers; header; header = header->next)
        explicit_bzero(header->data, strlen(header->data));
    curl_slist_free_all(settings->headers);
    secret_file_free(&settings->ca);
    for (uint32_t i = 0; i < settings->place_count; i++) {
        mem_free(unconst(settings->places[i].listener));
        mem_free(unconst(settings->places[i].mount_point));
    }
    mem_free(settings->places);
    mem_free(settings);
}

// ---- For libcurl --------------------------------------------------------------------------------

#define SET(option, value) must(curl_easy_setopt(easy, option, value) == CURLE_OK)

void
http_settings_apply(const struct http_settings *settings, enum http_ask ask, CURL *easy)
{
    must(settings->urls[ask] != NULL);
    curl_easy_reset(easy);
    SET(CURLOPT_URL, settings->urls[ask]);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, ""); // and none from the environment
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_HTTPHEADER, settings->headers);
    SET(CURLOPT_USERAGENT, "ternmq/" TERN_VERSION);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)settings->limits.connect_timeout_ms);
    SET(CURLOPT_NOSIGNAL, 1L);   // other threads need theirs
    SET(CURLOPT_QUICK_EXIT, 1L); // whoever gives up does not wait for the resolver
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (!settings->ca.data)
        return;
    // The bytes, not the path: a connection is kept for those who trust the same CAs only, and
    // after a reload the file may hold others. The system's folder would be trusted besides.
    struct curl_blob blob = {settings->ca.data, settings->ca.len, CURL_BLOB_NOCOPY};
    SET(CURLOPT_CAINFO_BLOB, &blob);
    SET(CURLOPT_CAPATH, NULL);
}
