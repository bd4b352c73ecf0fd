// http_settings.h - what the configuration says of the HTTP service, ready for use.
//
// Job:    checked URLs, headers, the CAs' certificates, where clients come by; and what libcurl has
//         to be told for a request.
// Owner:  counted: the hook, and each request that was begun with them.
// Thread: http_settings_new on any but workers (it reads a file); then the hook's.
// Memory: copies; headers are wiped when it is freed. Limits: HTTP_CA_FILE_MAX.
#ifndef TERN_CORE_ACCESS_HTTP_SETTINGS_H
#define TERN_CORE_ACCESS_HTTP_SETTINGS_H

#include <curl/curl.h>

#include "core/base/secret_file.h"

#include "core/access/http_request.h"

#define HTTP_CA_FILE_MAX (4u << 20) // a whole system's bundle is 200 KiB

struct http_settings {
    uint32_t refs;
    char *urls[HTTP_ASKS];          // NULL = not asked
    struct auth_http_config limits; // its pointers are NULL
    struct curl_slist *headers;
    struct secret_file ca; // data NULL = the system's
    struct http_place *places;
    uint32_t place_count;
};

extern const char *const http_ask_names[HTTP_ASKS]; // as the keys of their URLs

// OK: returns new, one reference. ERR_CONFIG: the problem says which key, and why.
NODISCARD err_t http_settings_new(const struct config *config, struct http_settings **ret_settings,
                                  struct file_problem *ret_problem);
struct http_settings *http_settings_ref(struct http_settings *settings);
void http_settings_unref(struct http_settings *settings); // takes one; NULL is fine

// All that is the same for each request. The handle borrows from settings until it is reset.
void http_settings_apply(const struct http_settings *settings, enum http_ask ask, CURL *easy);

#endif
