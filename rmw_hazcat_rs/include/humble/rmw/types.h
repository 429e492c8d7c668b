// The entities that callers hold pointers to, and what travels beside a message.
#ifndef RMW_HAZCAT_RS__HUMBLE__RMW__TYPES_H_
#define RMW_HAZCAT_RS__HUMBLE__RMW__TYPES_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rcutils/allocator.h"
#include "rcutils/logging.h"
#include "rcutils/types.h"
#include "rcutils/types/uint8_array.h"
#include "rmw/init.h"
#include "rmw/qos.h"
#include "rmw/ret_types.h"
#include "rmw/time.h"

#ifdef __cplusplus
extern "C"
{
#endif

#define RMW_GID_STORAGE_SIZE 24u

typedef rcutils_uint8_array_t rmw_serialized_message_t;

#define rmw_get_zero_initialized_serialized_message rcutils_get_zero_initialized_uint8_array
#define rmw_serialized_message_init(message, capacity, allocator) \
  rcutils_uint8_array_init(message, capacity, allocator)
#define rmw_serialized_message_fini(message) rcutils_uint8_array_fini(message)
#define rmw_serialized_message_resize(message, size) rcutils_uint8_array_resize(message, size)

// In every entity: `implementation_identifier` says who made it, `data` belongs to that one.

typedef struct rmw_node_s
{
  const char * implementation_identifier;
  void * data;
  const char * name;
  const char * namespace_;
  rmw_context_t * context;
} rmw_node_t;

typedef enum rmw_endpoint_type_e
{
  RMW_ENDPOINT_INVALID = 0,
  RMW_ENDPOINT_PUBLISHER,
  RMW_ENDPOINT_SUBSCRIPTION
} rmw_endpoint_type_t;

typedef enum rmw_unique_network_flow_endpoints_requirement_e
{
  RMW_UNIQUE_NETWORK_FLOW_ENDPOINTS_NOT_REQUIRED = 0,
  RMW_UNIQUE_NETWORK_FLOW_ENDPOINTS_STRICTLY_REQUIRED,
  RMW_UNIQUE_NETWORK_FLOW_ENDPOINTS_OPTIONALLY_REQUIRED,
  RMW_UNIQUE_NETWORK_FLOW_ENDPOINTS_SYSTEM_DEFAULT
} rmw_unique_network_flow_endpoints_requirement_t;

typedef struct rmw_publisher_options_s
{
  void * rmw_specific_publisher_payload;
  rmw_unique_network_flow_endpoints_requirement_t require_unique_network_flow_endpoints;
} rmw_publisher_options_t;

typedef struct rmw_publisher_s
{
  const char * implementation_identifier;
  void * data;
  const char * topic_name;
  rmw_publisher_options_t options;
  bool can_loan_messages;
} rmw_publisher_t;

// An SQL-like condition and the values for its placeholders.
typedef struct rmw_subscription_content_filter_options_s
{
  char * filter_expression;
  rcutils_string_array_t expression_parameters;
} rmw_subscription_content_filter_options_t;

typedef struct rmw_subscription_options_s
{
  void * rmw_specific_subscription_payload;
  bool ignore_local_publications;
  rmw_unique_network_flow_endpoints_requirement_t require_unique_network_flow_endpoints;
  rmw_subscription_content_filter_options_t * content_filter_options;
} rmw_subscription_options_t;

typedef struct rmw_subscription_s
{
  const char * implementation_identifier;
  void * data;
  const char * topic_name;
  rmw_subscription_options_t options;
  bool can_loan_messages;
  bool is_cft_enabled;
} rmw_subscription_t;

typedef struct rmw_service_s
{
  const char * implementation_identifier;
  void * data;
  const char * service_name;
} rmw_service_t;

typedef struct rmw_client_s
{
  const char * implementation_identifier;
  void * data;
  const char * service_name;
} rmw_client_t;

typedef struct rmw_guard_condition_s
{
  const char * implementation_identifier;
  void * data;
  rmw_context_t * context;
} rmw_guard_condition_t;

typedef struct rmw_publisher_allocation_s
{
  const char * implementation_identifier;
  void * data;
} rmw_publisher_allocation_t;

typedef struct rmw_subscription_allocation_s
{
  const char * implementation_identifier;
  void * data;
} rmw_subscription_allocation_t;

// What rmw_wait looks at: arrays of the `data` pointers of entities. It sets to null what is not
// ready.

typedef struct rmw_subscriptions_s
{
  size_t subscriber_count;
  void ** subscribers;
} rmw_subscriptions_t;

typedef struct rmw_services_s
{
  size_t service_count;
  void ** services;
} rmw_services_t;

typedef struct rmw_clients_s
{
  size_t client_count;
  void ** clients;
} rmw_clients_t;

typedef struct rmw_events_s
{
  size_t event_count;
  void ** events;
} rmw_events_t;

typedef struct rmw_guard_conditions_s
{
  size_t guard_condition_count;
  void ** guard_conditions;
} rmw_guard_conditions_t;

typedef struct rmw_wait_set_s
{
  const char * implementation_identifier;
  rmw_guard_conditions_t * guard_conditions;
  void * data;
} rmw_wait_set_t;

// Ties a response to its request.
typedef struct rmw_request_id_s
{
  int8_t writer_guid[16];
  int64_t sequence_number;
} rmw_request_id_t;

typedef struct rmw_service_info_s
{
  rmw_time_point_value_t source_timestamp;
  rmw_time_point_value_t received_timestamp;
  rmw_request_id_t request_id;
} rmw_service_info_t;

// Identity of an endpoint, unique among all of its ROS domain.
typedef struct rmw_gid_s
{
  const char * implementation_identifier;
  uint8_t data[RMW_GID_STORAGE_SIZE];
} rmw_gid_t;

#define RMW_MESSAGE_INFO_SEQUENCE_NUMBER_UNSUPPORTED UINT64_MAX

typedef struct rmw_message_info_s
{
  rmw_time_point_value_t source_timestamp;
  rmw_time_point_value_t received_timestamp;
  uint64_t publication_sequence_number;
  uint64_t reception_sequence_number;
  rmw_gid_t publisher_gid;
  bool from_intra_process;
} rmw_message_info_t;

typedef struct rmw_message_sequence_s
{
  void ** data;
  size_t size;
  size_t capacity;
  rcutils_allocator_t * allocator;
} rmw_message_sequence_t;

typedef struct rmw_message_info_sequence_s
{
  rmw_message_info_t * data;
  size_t size;
  size_t capacity;
  rcutils_allocator_t * allocator;
} rmw_message_info_sequence_t;

typedef enum
{
  RMW_LOG_SEVERITY_DEBUG = RCUTILS_LOG_SEVERITY_DEBUG,
  RMW_LOG_SEVERITY_INFO = RCUTILS_LOG_SEVERITY_INFO,
  RMW_LOG_SEVERITY_WARN = RCUTILS_LOG_SEVERITY_WARN,
  RMW_LOG_SEVERITY_ERROR = RCUTILS_LOG_SEVERITY_ERROR,
  RMW_LOG_SEVERITY_FATAL = RCUTILS_LOG_SEVERITY_FATAL
} rmw_log_severity_t;

// Called from a thread of the middleware when something arrived.
typedef void (* rmw_event_callback_t)(const void * user_data, size_t number_of_events);

#ifdef __cplusplus
}
#endif

#endif
