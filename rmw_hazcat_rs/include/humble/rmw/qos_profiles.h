// The ready-made profiles.
#ifndef RMW_HAZCAT_RS__HUMBLE__RMW__QOS_PROFILES_H_
#define RMW_HAZCAT_RS__HUMBLE__RMW__QOS_PROFILES_H_

#include "rmw/qos.h"

// All ready-made profiles leave the durations and the liveliness to the middleware.
#define RMW_HAZCAT_RS__PROFILE(history, depth, reliability, durability, liveliness) \
  {history, depth, reliability, durability, RMW_QOS_DEADLINE_DEFAULT, RMW_QOS_LIFESPAN_DEFAULT, \
    liveliness, RMW_QOS_LIVELINESS_LEASE_DURATION_DEFAULT, false}

#define RMW_HAZCAT_RS__KEEP_LAST(depth, reliability) \
  RMW_HAZCAT_RS__PROFILE( \
    RMW_QOS_POLICY_HISTORY_KEEP_LAST, depth, reliability, RMW_QOS_POLICY_DURABILITY_VOLATILE, \
    RMW_QOS_POLICY_LIVELINESS_SYSTEM_DEFAULT)

static const rmw_qos_profile_t rmw_qos_profile_sensor_data =
  RMW_HAZCAT_RS__KEEP_LAST(5, RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT);
static const rmw_qos_profile_t rmw_qos_profile_parameters =
  RMW_HAZCAT_RS__KEEP_LAST(1000, RMW_QOS_POLICY_RELIABILITY_RELIABLE);
static const rmw_qos_profile_t rmw_qos_profile_default =
  RMW_HAZCAT_RS__KEEP_LAST(10, RMW_QOS_POLICY_RELIABILITY_RELIABLE);
static const rmw_qos_profile_t rmw_qos_profile_services_default =
  RMW_HAZCAT_RS__KEEP_LAST(10, RMW_QOS_POLICY_RELIABILITY_RELIABLE);
static const rmw_qos_profile_t rmw_qos_profile_parameter_events =
  RMW_HAZCAT_RS__KEEP_LAST(1000, RMW_QOS_POLICY_RELIABILITY_RELIABLE);
static const rmw_qos_profile_t rmw_qos_profile_system_default = RMW_HAZCAT_RS__PROFILE(
  RMW_QOS_POLICY_HISTORY_SYSTEM_DEFAULT, RMW_QOS_POLICY_DEPTH_SYSTEM_DEFAULT,
  RMW_QOS_POLICY_RELIABILITY_SYSTEM_DEFAULT, RMW_QOS_POLICY_DURABILITY_SYSTEM_DEFAULT,
  RMW_QOS_POLICY_LIVELINESS_SYSTEM_DEFAULT);
static const rmw_qos_profile_t rmw_qos_profile_unknown = RMW_HAZCAT_RS__PROFILE(
  RMW_QOS_POLICY_HISTORY_UNKNOWN, RMW_QOS_POLICY_DEPTH_SYSTEM_DEFAULT,
  RMW_QOS_POLICY_RELIABILITY_UNKNOWN, RMW_QOS_POLICY_DURABILITY_UNKNOWN,
  RMW_QOS_POLICY_LIVELINESS_UNKNOWN);

#endif
