// clock.h - the two clocks.
//
// Job:    milliseconds. Timers, keep alive and expiry use the monotonic clock; only what is shown
//         or stored uses the wall clock. Thread: any. Memory: none. Limits: none.
// Core decides nothing by a clock that it reads itself: the tick's time is handed to it, so that a
// simulator can lie. It measures by one (core/samples.h).
#ifndef TERN_CORE_BASE_CLOCK_H
#define TERN_CORE_BASE_CLOCK_H

#include "core/base/base.h"

uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);
uint64_t clock_wall_ms(void);   // since 1970-01-01 UTC
uint64_t clock_thread_us(void); // CPU time of the calling thread

#endif
