// Publishes images that are painted, and turned into their negative, in the memory of the publisher: with --domain cuda:0, by
// kernels on the GPU. As demos/rclcpp/camera.cpp, through the C symbols that rmw_hazcat_rs exports.
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

static void sleep_for(double seconds)
{
  struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  nanosleep(&time, NULL);  // a signal is blocked, and waits for at most that long
}

static void publish(const rmw_library_t * rmw, rmw_publisher_t * publisher, device_t * device, uint64_t number)
{
  void * loan = NULL;
  rmw_library_check(
    rmw->rmw_borrow_loaned_message(publisher, MESSAGES_TYPE_SUPPORT_FUNCTION(Image)(), &loan),
    "rmw_borrow_loaned_message");
  char where[RMW_HAZCAT_RS_MEMORY_DOMAIN_NAME_BYTES];
  rmw_hazcat_rs_memory_domain_of(loan, where);
  const struct
  {
    uint64_t number;
    uint32_t width, height;
  } head = {number, 640, 480};
  unsigned char * pixels = (unsigned char *)loan + offsetof(image_t, data);
  const size_t bytes = sizeof(((image_t *)NULL)->data);
  if (!device_write(device, loan, &head, sizeof(head)) || !device_paint(device, pixels, bytes, number) ||
    !device_invert(device, pixels, bytes))
  {
    rmw_library_fail("the device does not work");
  }
  rmw_library_check(rmw->rmw_publish_loaned_message(publisher, loan, NULL), "rmw_publish_loaned_message");
  printf("image %lu: made in %s\n", (unsigned long)number, where);
}

int main(int argc, char ** argv)
{
  arguments_t arguments = arguments_read(argc, argv, "/image", "Publishes images from the memory of a device.");
  setvbuf(stdout, NULL, _IOLBF, 0);
  stop_block_signals();
  rmw_library_t rmw = rmw_library_open(arguments.library);
  rmw_session_t session;
  rmw_session_open(&rmw, &session, "camera", arguments.domain_id);
  device_t * device = device_open(arguments.domain);
  if (NULL == device) {
    return EXIT_FAILURE;
  }
  rmw_qos_profile_t qos = rmw_qos_profile_default;
  qos.depth = 100;
  rmw_hazcat_rs_memory_domain_t preference = rmw_hazcat_rs_memory_domain(arguments.domain);
  preference.stream = device_stream(device);
  rmw_publisher_options_t options = rmw_get_default_publisher_options();
  options.rmw_specific_publisher_payload = &preference;
  rmw_publisher_t * publisher = rmw.rmw_create_publisher(
    session.node, MESSAGES_TYPE_SUPPORT_FUNCTION(Image)(), arguments.topic, &qos, &options);
  rmw_guard_condition_t * stop = rmw.rmw_create_guard_condition(&session.context);
  if (NULL == publisher || NULL == stop) {
    rmw_library_fail("camera");
  }
  stop_watch(&rmw, stop);

  double waited = 0.0;
  size_t matched = 0;
  while (!stop_requested()) {
    rmw_library_check(
      rmw.rmw_publisher_count_matched_subscriptions(publisher, &matched),
      "rmw_publisher_count_matched_subscriptions");
    if (matched >= arguments.wait_for) {
      break;
    }
    if (arguments.timeout > 0.0 && waited > arguments.timeout) {
      fprintf(stderr, "camera: %zu of %lu subscriptions after %g s\n", matched, arguments.wait_for, arguments.timeout);
      return EXIT_FAILURE;
    }
    sleep_for(0.01);
    waited += 0.01;
  }
  for (uint64_t number = 1; !stop_requested(); ++number) {
    publish(&rmw, publisher, device, number);
    if (number == arguments.count) {
      break;
    }
    sleep_for(1.0 / arguments.rate);
  }

  rmw_library_check(rmw.rmw_destroy_publisher(session.node, publisher), "rmw_destroy_publisher");
  device_close(device);
  stop_unwatch();
  rmw_library_check(rmw.rmw_destroy_guard_condition(stop), "rmw_destroy_guard_condition");
  rmw_session_close(&rmw, &session);
  return EXIT_SUCCESS;
}
