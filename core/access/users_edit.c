// users_edit.c - the text of a password file, rewritten line by line.
#include "core/access/users_edit.h"

#include "core/base/mem.h"

#include "core/access/users.h"

struct writer {
    struct users_edit *edit;
    size_t size; // of fresh.data
};

// All is written with a bound that is known before: a growing buffer would leave copies behind.
static void
begin(struct writer *writer, struct users_edit *edit, size_t more)
{
    *writer = (struct writer){.edit = edit, .size = edit->text.len + more + 1};
    edit->fresh = (struct secret_file){.data = mem_zalloc(writer->size)};
    edit->changed = 0;
}

static void
append(struct writer *writer, struct slice bytes)
{
    struct secret_file *fresh = &writer->edit->fresh;
    must(fresh->len + (size_t)bytes.len < writer->size);
    if (bytes.len > 0)
        memcpy(fresh->data + fresh->len, bytes.data, bytes.len);
    fresh->len += bytes.len;
}

static void
append_user(struct writer *writer, struct slice user, struct slice hash)
{
    append(writer, user);
    append(writer, slice_str(":"));
    append(writer, hash);
    append(writer, slice_str("\n"));
}

// A line with its end, as it stands there.
static bool
next_raw(struct slice *rest, struct slice *ret_line)
{
    if (rest->len == 0)
        return false;
    const uint8_t *end = memchr(rest->data, '\n', rest->len);
    *ret_line = slice_of(rest->data, end ? (size_t)(end - rest->data) + 1 : rest->len);
    must(ret_line->len > 0 && ret_line->len <= rest->len);
    *rest = slice_of(rest->data + ret_line->len, rest->len - ret_line->len);
    return true;
}

static enum users_line
split(struct slice raw, struct slice *ret_name, struct slice *ret_hash)
{
    if (raw.len > 0 && raw.data[raw.len - 1] == '\n')
        raw.len--;
    return users_line_split(raw, ret_name, ret_hash);
}

// Nobody shall find out from the broker that his file is bad.
static err_t
finish(struct users_edit *edit)
{
    must(edit->fresh.data != NULL && edit->name != NULL);
    struct users *users = NULL;
    struct slice text = slice_of(edit->fresh.data, edit->fresh.len);
    err_t err =
        text.len > USERS_FILE_MAX
            ? file_fail(&edit->problem, "%s: more than %u bytes", edit->name, USERS_FILE_MAX)
            : users_parse(edit->name, text, &users, edit->problem.text, sizeof edit->problem.text);
    if (err == OK)
        users_unref(users);
    else
        secret_file_free(&edit->fresh);
    return err;
}

// Copies all lines but those of user; hash.data, where there is one, takes the first one's place.
static void
copy_others(struct writer *writer, struct slice user, struct slice hash)
{
    struct slice rest = writer->edit->text, raw, name, text;
    while (next_raw(&rest, &raw)) {
        bool other = split(raw, &name, &text) != USERS_LINE_USER || !slice_equal(name, user);
        if (other)
            append(writer, raw);
        else if (writer->edit->changed++ == 0 && hash.data)
            append_user(writer, user, hash);
    }
}

err_t
users_edit_set(struct users_edit *edit, struct slice user, struct slice hash)
{
    must(user.len > 0 && hash.len > 0);
    struct writer writer;
    begin(&writer, edit, user.len + (size_t)hash.len + 3);
    copy_others(&writer, user, hash);
    if (edit->changed > 0)
        return finish(edit);
    if (edit->fresh.len > 0 && edit->fresh.data[edit->fresh.len - 1] != '\n')
        append(&writer, slice_str("\n"));
    append_user(&writer, user, hash);
    return finish(edit);
}

err_t
users_edit_remove(struct users_edit *edit, struct slice user)
{
    must(user.len > 0);
    struct writer writer;
    begin(&writer, edit, 0);
    copy_others(&writer, user, slice_of(NULL, 0));
    return finish(edit);
}

static bool
is_hash(struct slice text)
{
    uint8_t bytes[PASSWORD_BYTES_MAX];
    struct password_hash hash;
    char problem[64];
    bool yes = password_hash_parse(text, bytes, &hash, problem, sizeof problem) == OK;
    explicit_bzero(bytes, sizeof bytes);
    return yes;
}

static err_t
upgrade_line(struct writer *writer, uint32_t line, struct slice raw,
             const struct password_hash *parameters)
{
    struct users_edit *edit = writer->edit;
    struct slice name, password;
    char hash[PASSWORD_TEXT_MAX];
    if (split(raw, &name, &password) != USERS_LINE_USER || password.len == 0 || is_hash(password)) {
        append(writer, raw); // a bad one is found in the end
        return OK;
    }
    if (password.data[0] == '$')
        return file_fail(&edit->problem,
                         "%s:%u: a damaged hash, or a password that begins with $; "
                         "set this one by itself",
                         edit->name, line);
    if (password_hash_make(parameters, password, hash) != OK)
        return file_fail(&edit->problem, "the kernel gives no random bytes");
    append_user(writer, name, slice_str(hash));
    edit->changed++;
    return OK;
}

err_t
users_edit_upgrade(struct users_edit *edit, const struct password_hash *parameters)
{
    struct slice rest = edit->text, raw;
    size_t lines = 0;
    while (next_raw(&rest, &raw))
        lines++;
    struct writer writer;
    begin(&writer, edit, lines * PASSWORD_TEXT_MAX);
    rest = edit->text;
    for (uint32_t line = 1; next_raw(&rest, &raw); line++) {
        err_t err = upgrade_line(&writer, line, raw, parameters);
        if (err != OK) {
            secret_file_free(&edit->fresh);
            return err;
        }
    }
    return finish(edit);
}
