// command.h - what the command line asks of a store instead of serving: export, import, backup.
//
// Job:    runs one such command, tells the operator how it went.
// Owner:  main. Thread: main; no other one runs. Memory: none that stays. Limits: none.
#ifndef TERN_PERSIST_COMMAND_H
#define TERN_PERSIST_COMMAND_H

#include "core/config.h"
#include "persist/store.h"

// What the configuration says of the store. Borrows its strings.
struct store_options store_options_of(const struct config *config, struct log *log);
// "<backup folder>/<store>-backup-<UTC time>": where a copy made now goes.
void store_backup_name(const struct config *config, char *ret, size_t size);

bool command_wanted(const struct config_options *options);
// The exit code of the process.
int command_run(const struct config_options *options, const struct config *config);

#endif
