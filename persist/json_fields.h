// json_fields.h - which fields a line has, for both directions.
//
// Job:    one table for each kind of record: the field's name, its place and its form.
// Thread: any. Memory: none. Limits: none. Private to persist/json*.c.
#ifndef TERN_PERSIST_JSON_FIELDS_H
#define TERN_PERSIST_JSON_FIELDS_H

#include "core/record.h"

enum field_form {
    FORM_NUMBER,      // `bytes` wide, min to max
    FORM_BOOL,        //
    FORM_TEXT,        // 1 to 65,535 bytes
    FORM_NAME,        // of a setting: 1 to 480 bytes
    FORM_TOPIC,       // a Topic Name
    FORM_FILTER,      // a Topic Filter, without "$share"
    FORM_USER,        // null: there is none
    FORM_GROUP,       // null: not shared
    FORM_EXPIRY,      // seconds, u32; "never"
    FORM_TIME,        // ms since 1970
    FORM_UNTIL,       // the same; 0 is "never"
    FORM_DUE,         // the same; 0 is null
    FORM_DEADLINE,    // the same; 0 is null, RECORD_NEVER is "never"
    FORM_STATE,       // enum entry_state
    FORM_NUMBER_LIST, // u32 each
    FORM_PROPS,       // two names, see json.h
    FORM_PAYLOAD,     // two names
};

struct json_field {
    const char *name;
    uint64_t min, max;
    uint16_t offset; // in struct record
    uint8_t form, bytes;
};

struct json_kind {
    const char *type;
    const struct json_field *fields;
    uint32_t count;
};

// By enum journal_kind; type NULL where there is no such record.
extern const struct json_kind json_kinds[JOURNAL_KINDS];
extern const struct json_kind json_will;   // a session's "will", null or an object
extern const struct json_kind json_source; // a retained message's "source", an object or not there

extern const char *const json_state_names[3]; // by enum entry_state; the first is NULL

#endif
