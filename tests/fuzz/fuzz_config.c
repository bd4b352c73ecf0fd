// fuzz_config.c - any bytes as a configuration file, and behind the first NUL NUL as environment.
#include <stdlib.h>

#include "core/base/mem.h"

#include "core/config.h"

#define ENV_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// "KEY=value\0KEY=value..." as an environment. Returns new; the strings are in text.
static char **
split_env(char *text, size_t len)
{
    char **env = mem_zalloc((ENV_MAX + 1) * sizeof *env);
    size_t count = 0;
    for (size_t at = 0; at < len && count < ENV_MAX; at += strlen(text + at) + 1)
        env[count++] = text + at;
    return env;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *mark = size > 0 ? memmem(data, size, "\0\0", 2) : NULL;
    size_t file_len = mark ? (size_t)(mark - data) : size;
    size_t env_len = mark ? size - file_len - 2 : 0;
    // Copies of their exact size, so that a read beyond the end is seen.
    uint8_t *file = mem_alloc(file_len + 1);
    memcpy(file, data, file_len);
    file = mem_realloc(file, file_len > 0 ? file_len : 1);
    char *env_text = mem_strndup(mark ? mark + 2 : data, env_len);
    char **env = split_env(env_text, env_len);

    static struct config_report report;
    struct config *config = NULL;
    err_t err = config_parse("fuzz.conf", slice_of(file, file_len), env, &config, &report);
    must((err == OK) == (config != NULL));
    must((err == OK) == (report.error_count == 0));
    if (config)
        must(config->listener_count >= 1 && config->listener_count <= CONFIG_LISTENERS_MAX);
    config_free(config);
    mem_free(env);
    mem_free(env_text);
    mem_free(file);
    return 0;
}
