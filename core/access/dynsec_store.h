// dynsec_store.h - the model to settings and back, and from a dynamic-security.json.
//
// Job:    see below. Owner: dynsec.c. Thread: whoever holds its lock. Memory: settings.
// Limits: see dynsec.h. Private to core/access/dynsec*.c.
#ifndef TERN_CORE_ACCESS_DYNSEC_STORE_H
#define TERN_CORE_ACCESS_DYNSEC_STORE_H

#include "core/access/dynsec_model.h"

// What was touched since the last call, each once.
void dynsec_collect(struct dynsec_model *model, struct dynsec_settings *ret);
// Into an empty model; after an error it is to be thrown away.
NODISCARD err_t dynsec_take_settings(struct dynsec_model *model, const struct dynsec_setting *list,
                                     uint32_t count, char *problem, size_t size);
// Touches all that it takes. ret: the counts alone.
NODISCARD err_t dynsec_take_file(struct dynsec_model *model, struct slice text,
                                 struct dynsec_import *ret, char *problem, size_t size);

#endif
