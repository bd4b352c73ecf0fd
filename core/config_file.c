// config_file.c - lines of files: key, value, and where they stand.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"

#include "core/config_loader.h"

#define BOM "\xef\xbb\xbf" // editors on Windows begin UTF-8 files with it

// ---- One key ------------------------------------------------------------------------------------

static void
note_repeat(struct config_loader *loader, const struct config_key *key)
{
    struct config_origin *seen = &loader->seen[key - config_keys];
    if (seen->file && !key->repeats)
        config_warning(loader, "%s stands in %s:%u already; this one holds", key->name, seen->file,
                       seen->line);
    *seen = loader->here;
}

// Kept for a warning, should there be no default listener in the end.
static void
note_stray(struct config_loader *loader, const struct config_key *key)
{
    if (key->scope != SCOPE_LISTENER || key->set == config_set_port ||
        key->set == config_set_bind_address || loader->block != &loader->default_listener ||
        loader->stray[0] != '\0')
        return;
    if (loader->here.line > 0)
        (void)snprintf(loader->stray, sizeof loader->stray, "%s:%u: %s", loader->here.file,
                       loader->here.line, key->name);
    else
        (void)snprintf(loader->stray, sizeof loader->stray, "%s", loader->here.file);
}

// A key that asks for what this version cannot do. False for a switch that is off.
static bool
asks_for_more(const struct config_key *key, struct slice value)
{
    struct slice rest;
    struct slice word = config_word(value, &rest);
    bool is_switch = key->type == TYPE_BOOL || key->set == config_set_proxy_protocol;
    return !is_switch || !(config_is(word, "false") || config_is(word, "0"));
}

static void
refuse(struct config_loader *loader, const struct config_key *key, struct slice value)
{
    bool head = strcmp(key->name, "connection") == 0;
    if (key->status == KEY_BRIDGE && !head && loader->in_bridge)
        return; // told at its connection line
    loader->in_bridge = loader->in_bridge || head;
    if (asks_for_more(key, value))
        config_error(loader, "%s: this version does not support %s", key->name, key->help);
}

void
config_apply(struct config_loader *loader, const struct config_key *key, struct slice value)
{
    must(loader->block != NULL);
    if (value.len == 0) {
        config_error(loader, "%s needs a value", key->name);
        return;
    }
    if (key->status == KEY_LATER || key->status == KEY_BRIDGE) {
        refuse(loader, key, value);
        return;
    }
    if (key->status == KEY_IGNORED) {
        config_warning(loader, "%s has no meaning here: %s", key->name, key->help);
        return;
    }
    note_repeat(loader, key);
    note_stray(loader, key);
    if (key->type == TYPE_OWN) {
        key->set(loader, value); // says itself what it is about
        return;
    }
    loader->key = key->name;
    config_value_set(loader, key,
                     key->scope == SCOPE_LISTENER ? (void *)loader->block : (void *)loader->config,
                     value);
    loader->key = NULL;
}

// ---- Lines --------------------------------------------------------------------------------------

static bool
line_is_clean(struct config_loader *loader, struct slice line)
{
    if (line.len > CONFIG_LINE_MAX) {
        config_error(loader, "the line is longer than %d bytes", CONFIG_LINE_MAX);
        return false;
    }
    for (uint32_t i = 0; i < line.len; i++) {
        uint8_t c = line.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            config_error(loader, "byte %u of the line is the control character 0x%02x", i + 1, c);
            return false;
        }
    }
    return true;
}

static void
read_line(struct config_loader *loader, struct slice line)
{
    line = config_trim(line);
    if (line.len == 0 || line.data[0] == '#' || !line_is_clean(loader, line))
        return;
    struct slice value;
    struct slice name = config_word(line, &value);
    const struct config_key *key = config_key_find(name);
    if (key) {
        config_apply(loader, key, value);
        return;
    }
    // The search costs more than all else; what the report drops is not worth it.
    bool kept = loader->report->error_count < CONFIG_PROBLEMS_MAX;
    const struct config_key *near = kept ? config_key_nearest(name) : NULL;
    config_error(loader, "unknown key \"%.*s\"%s%s%s", (int)min_u32(name.len, 64),
                 (const char *)name.data, near ? "; did you mean \"" : "", near ? near->name : "",
                 near ? "\"?" : "");
}

void
config_read_text(struct config_loader *loader, const char *name, struct slice text)
{
    must(name != NULL && loader->block != NULL);
    // Every file begins in the default listener, and its blocks end with it.
    struct config_origin outer = loader->here;
    struct listener_config *outer_block = loader->block;
    loader->here = (struct config_origin){name, 0};
    config_block_begins(loader, &loader->default_listener);
    loader->in_bridge = false;
    if (text.len >= strlen(BOM) && memcmp(text.data, BOM, strlen(BOM)) == 0)
        text = (struct slice){text.data + strlen(BOM), text.len - (uint32_t)strlen(BOM)};
    while (text.len > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        struct slice line = {text.data, end ? (uint32_t)(end - text.data) : text.len};
        loader->here.line++;
        read_line(loader, line);
        uint32_t used = line.len + (end ? 1 : 0);
        must(used > 0 && used <= text.len);
        text = (struct slice){text.data + used, text.len - used};
    }
    loader->here = outer;
    config_block_begins(loader, outer_block);
    must(loader->block == outer_block);
}

// ---- Files --------------------------------------------------------------------------------------

// Reads to the end, so that pipes and files of /proc do, too. False, with an error told, when it
// cannot or is too large.
static bool
read_all(struct config_loader *loader, const char *path, uint8_t *buffer, uint32_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        config_error(loader, "cannot open %s: %m", path);
        return false;
    }
    uint32_t len = 0;
    ssize_t n = 1;
    while (n != 0 && len <= CONFIG_FILE_BYTES_MAX) {
        n = read(fd, buffer + len, CONFIG_FILE_BYTES_MAX + 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        len += (uint32_t)n;
    }
    if (n < 0)
        config_error(loader, "cannot read %s: %m", path);
    else if (len > CONFIG_FILE_BYTES_MAX)
        config_error(loader, "%s is larger than %d bytes", path, CONFIG_FILE_BYTES_MAX);
    (void)close(fd);
    must(len <= CONFIG_FILE_BYTES_MAX + 1);
    *ret_len = len;
    return n >= 0 && len <= CONFIG_FILE_BYTES_MAX;
}

void
config_read_file(struct config_loader *loader, const char *path)
{
    if (loader->file_count == CONFIG_FILES_MAX) {
        config_error(loader, "%s is not read: more than %d files", path, CONFIG_FILES_MAX);
        return;
    }
    char *name = mem_strdup(path);
    loader->files[loader->file_count++] = name; // what `seen` points to outlives the reading
    uint8_t *buffer = mem_alloc(CONFIG_FILE_BYTES_MAX + 1);
    uint32_t len = 0;
    if (read_all(loader, name, buffer, &len))
        config_read_text(loader, name, slice_of(buffer, len));
    mem_free(buffer);
}

static int
is_config_name(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

// Bytewise, whatever the locale.
static int
by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void
read_member(struct config_loader *loader, const char *folder, const char *name)
{
    must(folder[0] != '\0' && name[0] != '.');
    char path[2 * CONFIG_LINE_MAX];
    int len = snprintf(path, sizeof path, "%s%s%s", folder,
                       folder[strlen(folder) - 1] == '/' ? "" : "/", name);
    must(len > 0 && (size_t)len < sizeof path); // a name has at most 255 bytes
    struct stat st;
    if (stat(path, &st) != 0) { // through symbolic links: mounted secrets are made of them
        config_error(loader, "cannot open %s: %m", path);
        return;
    }
    if (!S_ISDIR(st.st_mode))
        config_read_file(loader, path);
}

void
config_set_include_dir(struct config_loader *loader, struct slice value)
{
    if (!loader->follow_includes)
        return;
    if (loader->depth > 0) { // one level is enough, and so there is no cycle
        config_warning(loader, "include_dir in an included file is ignored");
        return;
    }
    char *folder = mem_strndup(value.data, value.len);
    if (loader->file_count < CONFIG_FILES_MAX) // else config_read_file will complain
        loader->files[loader->file_count++] = mem_strdup(folder);
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_config_name, by_name);
    if (count < 0)
        config_error(loader, "cannot read the folder %s: %m", folder);
    loader->depth++;
    for (int i = 0; i < count; i++) {
        read_member(loader, folder, entries[i]->d_name);
        free(entries[i]); // scandir's own
    }
    must(loader->depth == 1);
    loader->depth--;
    free(entries);
    mem_free(folder);
}
