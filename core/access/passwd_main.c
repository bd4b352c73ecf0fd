// passwd_main.c - ternmq-passwd: users and their hashes in a password file.
//
// Options and exit codes are mosquitto_passwd's, so that scripts go on with another name. Nothing
// that is secret is written anywhere but, hashed, into the file.
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/mem.h"

#include "core/access/file_replace.h"
#include "core/access/password_prompt.h"
#include "core/access/users.h"
#include "core/access/users_edit.h"

static const char help[] =
    "ternmq-passwd keeps the users of a password file.\n"
    "\n"
    "  ternmq-passwd [-c] [-H FORM] [-I N] FILE USER            add or change; asks for the "
    "password\n"
    "  ternmq-passwd [-c] [-H FORM] [-I N] -b FILE USER PASSWORD\n"
    "  ternmq-passwd -D FILE USER                               remove\n"
    "  ternmq-passwd -U [-H FORM] [-I N] FILE                   hash what is in plain text\n"
    "\n"
    "  -b   the password stands on the command line, where others may see it\n"
    "  -c   create the file; one that is there is replaced. FILE - is standard output\n"
    "  -D   remove the user\n"
    "  -H   the form of new hashes:\n"
    "         argon2id       the default and the strongest; 7 MiB and about 15 ms a login\n"
    "         sha512-pbkdf2  what mosquitto 2.0 reads, and can do SCRAM-SHA-512 here\n"
    "         sha512         what mosquitto 1.6 reads; only for passwords made by machines\n"
    "         scram-sha-256, scram-sha-512\n"
    "                        for MQTT 5 clients that prove their password without sending it, and\n"
    "                        for all others; not for mosquitto\n"
    "  -I   iterations of sha512-pbkdf2 (the default is 210000) or of scram (10000), at most\n"
    "       10000000. Without -H, of sha512-pbkdf2\n"
    "  -U   lines that are hashed already stay as they are\n"
    "  -h, --help, --version\n"
    "\n"
    "Without -b, the password is asked for twice, or read from standard input when that is no\n"
    "terminal. The file is replaced as a whole; mode and owner stay, a new one has mode 0600. The\n"
    "broker reads it again by itself. Exit code 0: done; 1: not, and nothing has changed.\n";

struct options {
    bool create, delete, upgrade, batch;
    const char *form, *iterations; // NULL: not there
    char **operands;
    int operand_count;
};

static int PRINTF_LIKE(1) complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("Error: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputs("\n", stderr);
    va_end(args);
    return 1;
}

// ---- The command line ---------------------------------------------------------------------------

// False: there is no such option, or its value is missing.
static bool
take_option(char **args, int count, struct options *options, int *at)
{
    const char *arg = args[*at];
    bool *flag = strcmp(arg, "-b") == 0   ? &options->batch
                 : strcmp(arg, "-c") == 0 ? &options->create
                 : strcmp(arg, "-D") == 0 ? &options->delete
                 : strcmp(arg, "-U") == 0 ? &options->upgrade
                                          : NULL;
    const char **value = strcmp(arg, "-H") == 0   ? &options->form
                         : strcmp(arg, "-I") == 0 ? &options->iterations
                                                  : NULL;
    if (flag) {
        *flag = true;
        return true;
    }
    if (!value || *at + 1 >= count)
        return false;
    *value = args[++*at];
    return true;
}

static bool
is_option(const char *arg)
{
    return arg[0] == '-' && arg[1] != '\0';
}

// 0, or the exit code.
static int
read_options(int count, char **args, struct options *options)
{
    int at = 1;
    for (; at < count && is_option(args[at]); at++)
        if (!take_option(args, count, options, &at))
            return complain("%s: no such option, or its value is missing; see --help", args[at]);
    must(at <= count);
    options->operands = args + at;
    options->operand_count = count - at;
    if (options->create + options->delete + options->upgrade > 1)
        return complain("of -c, -D and -U only one can be");
    if (options->batch && (options->delete || options->upgrade))
        return complain("-b is for setting a password, not with -D or -U");
    int wanted = options->upgrade ? 1 : options->batch ? 3 : 2;
    if (options->operand_count != wanted)
        return complain("%s expected, %d arguments found; see --help",
                        wanted == 1   ? "FILE"
                        : wanted == 2 ? "FILE and USER"
                                      : "FILE, USER and PASSWORD",
                        options->operand_count);
    return 0;
}

static int
read_parameters(const struct options *options, struct password_hash *ret)
{
    enum password_form form = options->iterations ? PASSWORD_PBKDF2 : PASSWORD_ARGON2ID;
    if (options->form && !password_form_of(options->form, &form))
        return complain("%s: no such form of hash; see --help", options->form);
    *ret = password_hash_default(form);
    if (!options->iterations)
        return 0;
    if (form == PASSWORD_ARGON2ID || form == PASSWORD_SHA512)
        return complain("-I is for sha512-pbkdf2, scram-sha-256 and scram-sha-512");
    char *end;
    unsigned long value = strtoul(options->iterations, &end, 10);
    if (options->iterations[0] < '0' || options->iterations[0] > '9' || *end != '\0' || value < 1 ||
        value > PASSWORD_ITERATIONS_MAX)
        return complain("-I %s: 1 to %u expected", options->iterations, PASSWORD_ITERATIONS_MAX);
    ret->iterations = (uint32_t)value;
    return 0;
}

static int
check_user(struct slice user)
{
    const char *wrong = users_name_problem(user);
    if (user.len == 0)
        wrong = "an empty user name";
    else if (memchr(user.data, ':', user.len))
        wrong = "a user name with a colon, which ends the name in the file";
    else if (user.data[0] == '#')
        wrong = "a user name that begins with #, as comments do in the file";
    else if (user.data[0] == ' ' || user.data[user.len - 1] == ' ')
        wrong = "a user name with a blank at one end, where the file cannot keep it";
    return wrong ? complain("%s", wrong) : 0;
}

// ---- What is asked for --------------------------------------------------------------------------

// From the command line, where it is wiped, or from standard input.
static int
get_password(const struct options *options, struct secret_file *ret)
{
    struct file_problem problem;
    if (!options->batch)
        return password_prompt(ret, &problem) == OK ? 0 : complain("%s", problem.text);
    char *given = options->operands[2];
    size_t len = strlen(given);
    if (len == 0)
        return complain("an empty password");
    if (len > PASSWORD_INPUT_MAX)
        return complain("a password has at most %u bytes", PASSWORD_INPUT_MAX);
    *ret = (struct secret_file){.data = mem_alloc(len + 1), .len = (uint32_t)len};
    memcpy(ret->data, given, len + 1);
    explicit_bzero(given, len);
    return 0;
}

// A hash for USER's line. 0, or the exit code.
static int
make_hash(const struct options *options, char hash[PASSWORD_TEXT_MAX])
{
    struct password_hash parameters;
    struct secret_file password = {0};
    int code = read_parameters(options, &parameters);
    if (code == 0)
        code = get_password(options, &password);
    if (code != 0)
        return code;
    bool scram = password_hash_does_scram(&parameters, DIGEST_SHA256) ||
                 password_hash_does_scram(&parameters, DIGEST_SHA512);
    for (uint32_t i = 0; scram && i < password.len; i++) {
        if (password.data[i] < 0x80)
            continue;
        (void)fputs(
            "Warning: the password is not ASCII; SCRAM clients that normalise it (SASLprep) "
            "may prove another one\n",
            stderr);
        break;
    }
    must(password.len > 0);
    err_t err = password_hash_make(&parameters, slice_of(password.data, password.len), hash);
    secret_file_free(&password);
    return err == OK ? 0 : complain("the kernel gives no random bytes");
}

// The file as it is. 0, or the exit code.
static int
read_file(const struct file_replace *replace, struct secret_file *ret)
{
    struct file_problem problem;
    *ret = (struct secret_file){0};
    if (replace->fd < 0)
        return 0; // there is none yet
    err_t err = secret_file_read(replace->path, USERS_FILE_MAX, ret, &problem);
    return err == OK ? 0 : complain("%s", problem.text);
}

// What the file shall be. 0, or the exit code.
static int
edit_text(const struct options *options, const char *hash, struct users_edit *edit)
{
    struct slice user = slice_str(options->upgrade ? "" : options->operands[1]);
    struct password_hash parameters;
    err_t err;
    if (options->delete) {
        err = users_edit_remove(edit, user);
    } else if (options->upgrade) {
        int code = read_parameters(options, &parameters);
        if (code != 0)
            return code;
        err = users_edit_upgrade(edit, &parameters);
    } else {
        must(hash[0] == '$');
        err = users_edit_set(edit, user, slice_str(hash));
    }
    if (err != OK)
        return complain("%s; nothing was changed", edit->problem.text);
    if (options->delete &&edit->changed == 0) {
        secret_file_free(&edit->fresh);
        return complain("the user %s is not in %s", options->operands[1], edit->name);
    }
    return 0;
}

static void
say_what_was_done(const struct options *options, const struct users_edit *edit, bool replaced)
{
    if (options->upgrade)
        (void)printf("Hashed passwords: %u\n", edit->changed);
    else if (options->delete)
        (void)printf("Removing user %s\n", options->operands[1]);
    else
        (void)printf("%s password for user %s\n", edit->changed > 0 ? "Updating" : "Adding",
                     options->operands[1]);
    if (replaced)
        (void)fprintf(stderr, "Warning: -c has replaced the %s that was there\n", edit->name);
}

static int
change_file(const struct options *options, const char *hash)
{
    struct file_replace replace;
    struct file_problem problem;
    struct secret_file before = {0};
    struct users_edit edit = {.name = options->operands[0]};
    if (file_replace_begin(edit.name, options->create, &replace, &problem) != OK)
        return complain("%s", problem.text);
    int code = options->create ? 0 : read_file(&replace, &before);
    edit.text = slice_of(before.data, before.len);
    if (code == 0)
        code = edit_text(options, hash, &edit);
    must(code != 0 || edit.fresh.data != NULL);
    struct slice fresh = slice_of(edit.fresh.data, edit.fresh.len);
    if (code == 0 && file_replace_commit(&replace, fresh, &problem) != OK)
        code = complain("%s", problem.text);
    if (code == 0)
        say_what_was_done(options, &edit, options->create && replace.fd >= 0);
    secret_file_free(&edit.fresh);
    secret_file_free(&before);
    file_replace_end(&replace);
    return code;
}

static int
run(const struct options *options)
{
    must(options->operands != NULL && options->operand_count >= 1);
    char hash[PASSWORD_TEXT_MAX] = "";
    const char *file = options->operands[0];
    if (!options->create && access(file, F_OK) != 0) // before anybody types a password
        return complain("%s: %s; -c creates a file", file, strerrordesc_np(errno));
    int code = options->upgrade ? 0 : check_user(slice_str(options->operands[1]));
    if (code == 0 && !options->delete &&!options->upgrade)
        code = make_hash(options, hash);
    if (code != 0)
        return code;
    if (options->create && strcmp(file, "-") == 0)
        return printf("%s:%s\n", options->operands[1], hash) > 0 ? 0 : 1;
    return change_file(options, hash);
}

int
main(int argc, char **argv)
{
    struct options options = {0};
    for (int i = 1; i < argc && is_option(argv[i]); i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
            return fputs(help, stdout) < 0;
        if (strcmp(argv[i], "--version") == 0)
            return puts("ternmq-passwd version " TERN_VERSION) < 0;
    }
    int code = read_options(argc, argv, &options);
    if (code == 0)
        code = run(&options);
    return fflush(stdout) == 0 ? code : 1;
}
