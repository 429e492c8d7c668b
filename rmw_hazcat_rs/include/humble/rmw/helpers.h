// What a caller needs besides the functions of an implementation: fresh values of the structs, and
// freeing what a graph query filled. Where ROS 2 is installed these are functions of librmw; here,
// without that library, they are inline.
#ifndef RMW_HAZCAT_RS__HUMBLE__RMW__HELPERS_H_
#define RMW_HAZCAT_RS__HUMBLE__RMW__HELPERS_H_

#include <string.h>

#include "rmw/event.h"
#include "rmw/graph.h"
#include "rmw/types.h"

#define RMW_HAZCAT_RS__ZERO(type, name) \
  static inline type name(void) \
  { \
    type value; \
    memset(&value, 0, sizeof(value)); \
    return value; \
  }

RMW_HAZCAT_RS__ZERO(rmw_init_options_t, rmw_get_zero_initialized_init_options)
RMW_HAZCAT_RS__ZERO(rmw_context_t, rmw_get_zero_initialized_context)
RMW_HAZCAT_RS__ZERO(rmw_message_info_t, rmw_get_zero_initialized_message_info)
RMW_HAZCAT_RS__ZERO(rmw_message_sequence_t, rmw_get_zero_initialized_message_sequence)
RMW_HAZCAT_RS__ZERO(rmw_message_info_sequence_t, rmw_get_zero_initialized_message_info_sequence)
RMW_HAZCAT_RS__ZERO(rmw_names_and_types_t, rmw_get_zero_initialized_names_and_types)
RMW_HAZCAT_RS__ZERO(rmw_topic_endpoint_info_t, rmw_get_zero_initialized_topic_endpoint_info)
RMW_HAZCAT_RS__ZERO(
  rmw_topic_endpoint_info_array_t, rmw_get_zero_initialized_topic_endpoint_info_array)
RMW_HAZCAT_RS__ZERO(
  rmw_network_flow_endpoint_array_t, rmw_get_zero_initialized_network_flow_endpoint_array)
RMW_HAZCAT_RS__ZERO(rmw_security_options_t, rmw_get_default_security_options)
RMW_HAZCAT_RS__ZERO(rmw_publisher_options_t, rmw_get_default_publisher_options)
RMW_HAZCAT_RS__ZERO(rmw_subscription_options_t, rmw_get_default_subscription_options)

static inline rmw_event_t rmw_get_zero_initialized_event(void)
{
  rmw_event_t event;
  memset(&event, 0, sizeof(event));
  event.event_type = RMW_EVENT_INVALID;
  return event;
}

static inline rmw_ret_t rmw_event_fini(rmw_event_t * event)
{
  *event = rmw_get_zero_initialized_event();
  return RMW_RET_OK;
}

static inline rmw_ret_t rmw_names_and_types_fini(rmw_names_and_types_t * names_and_types)
{
  rmw_ret_t result = RMW_RET_OK;
  rcutils_allocator_t allocator = names_and_types->names.allocator;
  for (size_t i = 0; NULL != names_and_types->types && i < names_and_types->names.size; ++i) {
    if (RCUTILS_RET_OK != rcutils_string_array_fini(&names_and_types->types[i])) {
      result = RMW_RET_ERROR;
    }
  }
  if (NULL != names_and_types->types) {
    allocator.deallocate(names_and_types->types, allocator.state);
    names_and_types->types = NULL;
  }
  if (RCUTILS_RET_OK != rcutils_string_array_fini(&names_and_types->names)) {
    result = RMW_RET_ERROR;
  }
  return result;
}

static inline rmw_ret_t rmw_topic_endpoint_info_array_fini(
  rmw_topic_endpoint_info_array_t * array, rcutils_allocator_t * allocator)
{
  for (size_t i = 0; i < array->size; ++i) {
    rmw_topic_endpoint_info_t * info = &array->info_array[i];
    allocator->deallocate((void *)info->node_name, allocator->state);
    allocator->deallocate((void *)info->node_namespace, allocator->state);
    allocator->deallocate((void *)info->topic_type, allocator->state);
  }
  allocator->deallocate(array->info_array, allocator->state);
  array->info_array = NULL;
  array->size = 0;
  return RMW_RET_OK;
}

#endif
