// Ends a demo program on Ctrl-C: SIGINT and SIGTERM trigger a guard condition, so a wait returns at once.
#ifndef STOP_H_
#define STOP_H_

#include <stdbool.h>

#include "rmw_library.h"

// Takes over SIGINT and SIGTERM. Call it before the middleware starts any thread.
void stop_block_signals(void);

// Starts the thread that waits for them; `guard` must live until stop_unwatch returns.
void stop_watch(const rmw_library_t * rmw, const rmw_guard_condition_t * guard);

// Ends that thread.
void stop_unwatch(void);

// Whether one has come.
bool stop_requested(void);

#endif  // STOP_H_
