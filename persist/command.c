// command.c - what the command line asks of a store instead of serving: export,
// import, backup.
#include "persist/command.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"

#include "core/process.h"
#include "persist/import.h"

#define BACKUP_WAIT_MS 3600000u
#define BACKUP_LOOK_US 100000u

static const char *
folder_of(const char *folder)
{
    return folder ? folder : ".";
}

struct store_options
store_options_of(const struct config *config, struct log *log)
{
    return (struct store_options){
        .folder = folder_of(config->persistence_location),
        .name = config->persistence_file,
        .sync_ms = config->durability == DURABILITY_ASYNC ? config->durability_interval_ms : 0,
        .quarantine = config->recovery == RECOVERY_QUARANTINE,
        .verify_in_child = true,
        .window_bytes = host_store_window(&config->host),
        .log = log,
    };
}

static const char *
backup_folder(const struct config *config)
{
    return folder_of(config->backup_location ? config->backup_location
                                             : config->persistence_location);
}

void
store_backup_name(const struct config *config, char *ret, size_t size)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm utc;
    char stamp[32] = "";
    if (gmtime_r(&now, &utc))
        (void)strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &utc);
    (void)snprintf(ret, size, "%s/%s-backup-%s", backup_folder(config), config->persistence_file,
                   stamp);
}

bool
command_wanted(const struct config_options *options)
{
    return options->export_file || options->import_file || options->backup;
}

// ---- Export and import --------------------------------------------------------------------------

static int
transfer(const struct config_options *options, const struct config *config)
{
    char problem[STORE_PROBLEM_MAX] = "";
    struct store_options wanted = store_options_of(config, NULL);
    wanted.quarantine = false;
    struct store *store = NULL;
    uint64_t records = 0;
    err_t err = store_open(&wanted, &store, problem);
    if (err == OK && options->import_file)
        err = import_file(store, options->import_file, problem);
    if (err == OK && options->export_file)
        err = export_file(store, options->export_file, &records, problem);
    struct store_counts counts = {0};
    if (err == OK)
        store_counts(store, &counts);
    store_close(store);
    if (err != OK) {
        (void)fprintf(stderr, "Error: %s\n", problem);
        return 1;
    }
    if (problem[0] != '\0')
        (void)fprintf(stderr, "Warning: %s\n", problem);
    (void)fprintf(stderr,
                  "%s: %llu sessions, %llu subscriptions, %llu queued and %llu "
                  "retained messages.\n",
                  options->import_file ? "Imported" : "Exported",
                  (unsigned long long)counts.sessions, (unsigned long long)counts.subscriptions,
                  (unsigned long long)counts.entries, (unsigned long long)counts.retained);
    return 0;
}

// ---- Backup -------------------------------------------------------------------------------------

// The newest copy in the folder, "" when there is none: their names sort by
// time.
static bool
newest_backup(const struct config *config, char *ret, size_t size)
{
    char prefix[256];
    int len = snprintf(prefix, sizeof prefix, "%s-backup-", config->persistence_file);
    ret[0] = '\0';
    DIR *folder = opendir(backup_folder(config));
    if (!folder)
        return false;
    const struct dirent *entry;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the only thread
    while ((entry = readdir(folder)) != NULL) {
        const char *name = entry->d_name;
        // One that is being written ends in ".part".
        if (strncmp(name, prefix, (size_t)len) == 0 && !strchr(name + len, '.') &&
            strlen(name) < size && strcmp(name, ret) > 0)
            (void)snprintf(ret, size, "%s", name);
    }
    (void)closedir(folder);
    return true;
}

static int
backup(const struct config *config)
{
    char before[256], now[256];
    struct store_options options = store_options_of(config, NULL);
    pid_t pid = (pid_t)store_owner(&options);
    if (pid <= 0) {
        (void)fprintf(stderr, "Error: no broker has the store %s/%s open\n", options.folder,
                      options.name);
        return 1;
    }
    if (!newest_backup(config, before, sizeof before)) {
        (void)fprintf(stderr, "Error: cannot read %s: %m\n", backup_folder(config));
        return 1;
    }
    if (kill(pid, PROCESS_SIGNAL_BACKUP) != 0) {
        (void)fprintf(stderr, "Error: cannot signal process %d: %m\n", pid);
        return 1;
    }
    uint64_t end = clock_mono_ms() + BACKUP_WAIT_MS;
    while (clock_mono_ms() < end && kill(pid, 0) == 0) {
        (void)newest_backup(config, now, sizeof now);
        if (strcmp(now, before) != 0) {
            (void)printf("%s/%s\n", backup_folder(config), now);
            return 0;
        }
        struct timespec pause = {.tv_nsec = BACKUP_LOOK_US * 1000L};
        (void)nanosleep(&pause, NULL);
    }
    (void)fprintf(stderr, "Error: no copy was made; the log of process %d says why\n", pid);
    return 1;
}

int
command_run(const struct config_options *options, const struct config *config)
{
    if (options->backup)
        return backup(config);
    return transfer(options, config);
}
