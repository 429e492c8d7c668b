// QoS events and what is taken for each of them.
#ifndef RMW_HAZCAT_RS__HUMBLE__RMW__EVENT_H_
#define RMW_HAZCAT_RS__HUMBLE__RMW__EVENT_H_

#include "rmw/types.h"

#ifdef __cplusplus
extern "C"
{
#endif

typedef enum rmw_event_type_e
{
  // of a subscription
  RMW_EVENT_LIVELINESS_CHANGED,
  RMW_EVENT_REQUESTED_DEADLINE_MISSED,
  RMW_EVENT_REQUESTED_QOS_INCOMPATIBLE,
  RMW_EVENT_MESSAGE_LOST,
  // of a publisher
  RMW_EVENT_LIVELINESS_LOST,
  RMW_EVENT_OFFERED_DEADLINE_MISSED,
  RMW_EVENT_OFFERED_QOS_INCOMPATIBLE,
  RMW_EVENT_INVALID
} rmw_event_type_t;

typedef struct rmw_event_s
{
  const char * implementation_identifier;
  void * data;
  rmw_event_type_t event_type;
} rmw_event_t;

// In each status: `total_*` since creation, `*_change` since the last take.

typedef struct rmw_liveliness_changed_status_s
{
  int32_t alive_count;
  int32_t not_alive_count;
  int32_t alive_count_change;
  int32_t not_alive_count_change;
} rmw_liveliness_changed_status_t;

typedef struct rmw_liveliness_lost_status_s
{
  int32_t total_count;
  int32_t total_count_change;
} rmw_liveliness_lost_status_t;

typedef struct rmw_message_lost_status_s
{
  size_t total_count;
  size_t total_count_change;
} rmw_message_lost_status_t;

typedef struct rmw_offered_deadline_missed_status_s
{
  int32_t total_count;
  int32_t total_count_change;
} rmw_offered_deadline_missed_status_t;

typedef struct rmw_requested_deadline_missed_status_s
{
  int32_t total_count;
  int32_t total_count_change;
} rmw_requested_deadline_missed_status_t;

typedef struct rmw_qos_incompatible_event_status_s
{
  int32_t total_count;
  int32_t total_count_change;
  rmw_qos_policy_kind_t last_policy_kind;
} rmw_qos_incompatible_event_status_t;

typedef rmw_qos_incompatible_event_status_t rmw_requested_qos_incompatible_event_status_t;
typedef rmw_qos_incompatible_event_status_t rmw_offered_qos_incompatible_event_status_t;

rmw_ret_t rmw_publisher_event_init(
  rmw_event_t * rmw_event, const rmw_publisher_t * publisher, rmw_event_type_t event_type);
rmw_ret_t rmw_subscription_event_init(
  rmw_event_t * rmw_event, const rmw_subscription_t * subscription, rmw_event_type_t event_type);
rmw_ret_t rmw_take_event(const rmw_event_t * event_handle, void * event_info, bool * taken);
rmw_ret_t rmw_event_set_callback(
  rmw_event_t * event, rmw_event_callback_t callback, const void * user_data);

#ifdef __cplusplus
}
#endif

#endif
