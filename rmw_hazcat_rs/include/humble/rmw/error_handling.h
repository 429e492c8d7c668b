// The error state is the one of rcutils, per thread.
#ifndef RMW_HAZCAT_RS__HUMBLE__RMW__ERROR_HANDLING_H_
#define RMW_HAZCAT_RS__HUMBLE__RMW__ERROR_HANDLING_H_

#include "rcutils/error_handling.h"

#define rmw_get_error_string rcutils_get_error_string
#define rmw_error_is_set rcutils_error_is_set
#define rmw_reset_error rcutils_reset_error

#endif
