// Guard conditions and wait sets.
#ifndef RMW_HAZCAT_RS__HUMBLE__RMW__WAIT_H_
#define RMW_HAZCAT_RS__HUMBLE__RMW__WAIT_H_

#include "rmw/types.h"

#ifdef __cplusplus
extern "C"
{
#endif

rmw_guard_condition_t * rmw_create_guard_condition(rmw_context_t * context);
rmw_ret_t rmw_destroy_guard_condition(rmw_guard_condition_t * guard_condition);
rmw_ret_t rmw_trigger_guard_condition(const rmw_guard_condition_t * guard_condition);

// `max_conditions` 0: no limit.
rmw_wait_set_t * rmw_create_wait_set(rmw_context_t * context, size_t max_conditions);
rmw_ret_t rmw_destroy_wait_set(rmw_wait_set_t * wait_set);
// Any of the arrays may be null. `wait_timeout` null: for ever. What is not ready is set to null;
// RMW_RET_TIMEOUT leaves all of them null.
rmw_ret_t rmw_wait(
  rmw_subscriptions_t * subscriptions, rmw_guard_conditions_t * guard_conditions,
  rmw_services_t * services, rmw_clients_t * clients, rmw_events_t * events,
  rmw_wait_set_t * wait_set, const rmw_time_t * wait_timeout);

#ifdef __cplusplus
}
#endif

#endif
