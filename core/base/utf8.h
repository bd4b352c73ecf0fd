// utf8.h - validity of UTF-8 Encoded Strings.
//
// Job:    RFC 3629 with the specification's exclusions. Thread: any. Memory: none.
// Limits: none; linear, eight bytes at a time while the text is ASCII.
#ifndef TERN_CORE_BASE_UTF8_H
#define TERN_CORE_BASE_UTF8_H

#include "core/base/base.h"

// False on ill-formed sequences, surrogates, code points above U+10FFFF and U+0000
// [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.3-1] [MQTT-1.5.3-2]. U+FEFF is an ordinary character.
bool utf8_valid(struct slice text);

#endif
