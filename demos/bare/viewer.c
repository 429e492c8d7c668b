// Looks at images where they are handed to it: with --domain cuda:0 on the GPU, by kernels; with --domain host, those of a camera
// on a device come by a copy that all such viewers share. As demos/rclcpp/viewer.cpp, through the C symbols that rmw_hazcat_rs
// exports.
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "arguments.h"
#include "device.h"
#include "messages.h"
#include "rmw_hazcat_rs/memory_domain.h"
#include "rmw_library.h"
#include "stop.h"

typedef rmw_hazcat_rs__msg__Image image_t;

static double now(void)
{
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

// Takes an image and looks at it; false if there was none.
static bool look(const rmw_library_t * rmw, rmw_subscription_t * subscription, device_t * device, unsigned long * wrong)
{
  bool taken = false;
  void * loan = NULL;
  rmw_library_check(rmw->rmw_take_loaned_message(subscription, &loan, &taken, NULL), "rmw_take_loaned_message");
  if (!taken) {
    return false;
  }
  char where[RMW_HAZCAT_RS_MEMORY_DOMAIN_NAME_BYTES];
  rmw_hazcat_rs_memory_domain_of(loan, where);
  uint64_t number = 0;
  const unsigned char * pixels = (const unsigned char *)loan + offsetof(image_t, data);
  bool right = device_read(device, loan, &number, sizeof(number)) &&
    0 == device_wrong_pixels(device, pixels, sizeof(((image_t *)NULL)->data), number);
  printf("image %lu: seen in %s, %s\n", (unsigned long)number, where, right ? "right" : "WRONG");
  *wrong += !right;
  rmw_library_check(
    rmw->rmw_return_loaned_message_from_subscription(subscription, loan),
    "rmw_return_loaned_message_from_subscription");
  return true;
}

int main(int argc, char ** argv)
{
  arguments_t arguments = arguments_read(argc, argv, "/image", "Looks at images in the memory of a device.");
  setvbuf(stdout, NULL, _IOLBF, 0);
  stop_block_signals();
  rmw_library_t rmw = rmw_library_open(arguments.library);
  rmw_session_t session;
  rmw_session_open(&rmw, &session, "viewer", arguments.domain_id);
  device_t * device = device_open(arguments.domain);
  if (NULL == device) {
    return EXIT_FAILURE;
  }
  rmw_qos_profile_t qos = rmw_qos_profile_default;
  qos.depth = 100;
  rmw_hazcat_rs_memory_domain_t preference = rmw_hazcat_rs_memory_domain(arguments.domain);
  preference.stream = device_stream(device);
  rmw_subscription_options_t options = rmw_get_default_subscription_options();
  options.rmw_specific_subscription_payload = &preference;
  rmw_subscription_t * subscription = rmw.rmw_create_subscription(
    session.node, MESSAGES_TYPE_SUPPORT_FUNCTION(Image)(), arguments.topic, &qos, &options);
  rmw_guard_condition_t * stop = rmw.rmw_create_guard_condition(&session.context);
  rmw_wait_set_t * wait_set = rmw.rmw_create_wait_set(&session.context, 2);
  if (NULL == subscription || NULL == stop || NULL == wait_set) {
    rmw_library_fail("viewer");
  }
  stop_watch(&rmw, stop);

  unsigned long seen = 0, wrong = 0;
  const double deadline = now() + arguments.timeout;
  while (!stop_requested() && (0 == arguments.count || seen < arguments.count)) {
    double left = deadline - now();
    if (arguments.timeout > 0.0 && left <= 0.0) {
      fprintf(stderr, "viewer: %lu of %lu images in %g s\n", seen, arguments.count, arguments.timeout);
      return EXIT_FAILURE;
    }
    void * subscribers[] = {subscription->data};
    rmw_subscriptions_t subscriptions = {1, subscribers};
    void * conditions[] = {stop->data};
    rmw_guard_conditions_t guard_conditions = {1, conditions};
    rmw_time_t timeout = {(uint64_t)left, (uint64_t)((left - (double)(uint64_t)left) * 1e9)};
    rmw_ret_t result = rmw.rmw_wait(
      &subscriptions, &guard_conditions, NULL, NULL, NULL, wait_set, arguments.timeout > 0.0 ? &timeout : NULL);
    if (RMW_RET_TIMEOUT == result) {
      continue;
    }
    rmw_library_check(result, "rmw_wait");
    while ((0 == arguments.count || seen < arguments.count) && look(&rmw, subscription, device, &wrong)) {
      ++seen;
    }
  }

  rmw_library_check(rmw.rmw_destroy_wait_set(wait_set), "rmw_destroy_wait_set");
  rmw_library_check(rmw.rmw_destroy_subscription(session.node, subscription), "rmw_destroy_subscription");
  device_close(device);
  stop_unwatch();
  rmw_library_check(rmw.rmw_destroy_guard_condition(stop), "rmw_destroy_guard_condition");
  rmw_session_close(&rmw, &session);
  return 0 == wrong ? EXIT_SUCCESS : EXIT_FAILURE;
}
