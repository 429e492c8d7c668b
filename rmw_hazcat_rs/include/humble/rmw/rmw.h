// The rmw interface at Humble's level (rmw 6.1), as this project declares it for machines that have
// Debian's rosidl and rcutils but no ROS 2. Names, layouts and numbers are those of the interface;
// a test compares them with the real headers wherever a ROS 2 of that level is installed.
//
// A program that includes this one header gets everything.
#ifndef RMW_HAZCAT_RS__HUMBLE__RMW__RMW_H_
#define RMW_HAZCAT_RS__HUMBLE__RMW__RMW_H_

#include "rmw/error_handling.h"
#include "rmw/event.h"
#include "rmw/features.h"
#include "rmw/graph.h"
#include "rmw/helpers.h"
#include "rmw/init.h"
#include "rmw/names.h"
#include "rmw/pubsub.h"
#include "rmw/qos.h"
#include "rmw/qos_profiles.h"
#include "rmw/ret_types.h"
#include "rmw/services.h"
#include "rmw/time.h"
#include "rmw/types.h"
#include "rmw/wait.h"

#endif
