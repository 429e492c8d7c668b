// Durations and time points.
#ifndef RMW_HAZCAT_RS__HUMBLE__RMW__TIME_H_
#define RMW_HAZCAT_RS__HUMBLE__RMW__TIME_H_

#include <stdint.h>

#include "rcutils/time.h"

// A duration as seconds plus nanoseconds; both non-negative.
typedef struct rmw_time_s
{
  uint64_t sec;
  uint64_t nsec;
} rmw_time_t;

// Nanoseconds, signed.
typedef rcutils_time_point_value_t rmw_time_point_value_t;
typedef rcutils_duration_value_t rmw_duration_t;

// Waits for ever (the most nanoseconds that an int64_t holds).
#define RMW_DURATION_INFINITE {9223372036LL, 854775807LL}
// Nothing was asked for; the middleware chooses.
#define RMW_DURATION_UNSPECIFIED {0LL, 0LL}

#endif
