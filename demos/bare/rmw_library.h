// rmw_hazcat_rs as rmw_implementation uses it: opened with dlopen, every function looked up by name.
// The demo programs reach the middleware through this table only.
#ifndef RMW_LIBRARY_H_
#define RMW_LIBRARY_H_

#include "rcutils/allocator.h"
#include "rcutils/error_handling.h"
#include "rmw/error_handling.h"
#include "rmw/init.h"
#include "rmw/qos_profiles.h"
#include "rmw/rmw.h"

// Every function of the rmw interface that the demos call.
#define RMW_LIBRARY_FUNCTIONS(FUNCTION) \
  FUNCTION(rmw_get_implementation_identifier) \
  FUNCTION(rmw_init_options_init) \
  FUNCTION(rmw_init_options_fini) \
  FUNCTION(rmw_init) \
  FUNCTION(rmw_shutdown) \
  FUNCTION(rmw_context_fini) \
  FUNCTION(rmw_create_node) \
  FUNCTION(rmw_destroy_node) \
  FUNCTION(rmw_create_guard_condition) \
  FUNCTION(rmw_destroy_guard_condition) \
  FUNCTION(rmw_trigger_guard_condition) \
  FUNCTION(rmw_create_wait_set) \
  FUNCTION(rmw_destroy_wait_set) \
  FUNCTION(rmw_wait) \
  FUNCTION(rmw_create_publisher) \
  FUNCTION(rmw_destroy_publisher) \
  FUNCTION(rmw_publish) \
  FUNCTION(rmw_borrow_loaned_message) \
  FUNCTION(rmw_publish_loaned_message) \
  FUNCTION(rmw_publisher_count_matched_subscriptions) \
  FUNCTION(rmw_create_subscription) \
  FUNCTION(rmw_destroy_subscription) \
  FUNCTION(rmw_take) \
  FUNCTION(rmw_take_loaned_message) \
  FUNCTION(rmw_return_loaned_message_from_subscription)

typedef struct rmw_library
{
  void * handle;
#define FUNCTION(name) __typeof__(name) * name;
  RMW_LIBRARY_FUNCTIONS(FUNCTION)
#undef FUNCTION
} rmw_library_t;

// Opens `file` (found along LD_LIBRARY_PATH and the program's own run path) and fills the table; ends the program
// with a message if the library or one of the functions is missing.
rmw_library_t rmw_library_open(const char * file);

// Ends the program with `what` and the middleware's error text.
_Noreturn void rmw_library_fail(const char * what);

// Ends the program as above unless `result` is RMW_RET_OK.
void rmw_library_check(rmw_ret_t result, const char * what);

// A node with all that it needs around it.
typedef struct rmw_session
{
  rmw_init_options_t options;
  rmw_context_t context;
  rmw_node_t * node;
} rmw_session_t;

// Initialises the middleware for `domain_id` and creates a node in the root namespace.
// `session` must stay where it is until the session is closed.
void rmw_session_open(
  const rmw_library_t * rmw, rmw_session_t * session, const char * node_name, size_t domain_id);

// Destroys the node and shuts the middleware down.
void rmw_session_close(const rmw_library_t * rmw, rmw_session_t * session);

#endif  // RMW_LIBRARY_H_
