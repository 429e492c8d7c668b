// Publishes "Hello World: N", as demo_nodes_cpp's talker does, through the C symbols that rmw_hazcat_rs exports.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "arguments.h"
#include "messages.h"
#include "rmw_library.h"
#include "stop.h"
#include "where.h"

typedef struct talker
{
  const rmw_library_t * rmw;
  const arguments_t * arguments;
  rmw_publisher_t * publisher;
  rmw_guard_condition_t * stop;
  rmw_wait_set_t * wait_set;
  rmw_hazcat_rs__msg__Text text;
} talker_t;

static double now(void)
{
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

// Sleeps until `until`, or until the program is to stop.
static void sleep_until(talker_t * talker, double until)
{
  double left = until - now();
  if (left <= 0.0 || stop_requested()) {
    return;
  }
  void * conditions[] = {talker->stop->data};
  rmw_guard_conditions_t guard_conditions = {1, conditions};
  rmw_time_t timeout = {(uint64_t)left, (uint64_t)((left - (double)(uint64_t)left) * 1e9)};
  rmw_ret_t result = talker->rmw->rmw_wait(
    NULL, &guard_conditions, NULL, NULL, NULL, talker->wait_set, &timeout);
  if (RMW_RET_TIMEOUT != result) {
    rmw_library_check(result, "rmw_wait");
  }
}

static void publish_text(talker_t * talker, const char * line)
{
  if (!rosidl_runtime_c__String__assign(&talker->text.data, line)) {
    rmw_library_fail("out of memory");
  }
  rmw_library_check(talker->rmw->rmw_publish(talker->publisher, &talker->text, NULL), "rmw_publish");
}

static void publish_loaned(talker_t * talker, unsigned long number, const char * line)
{
  void * loan = NULL;
  rmw_library_check(
    talker->rmw->rmw_borrow_loaned_message(
      talker->publisher, MESSAGES_TYPE_SUPPORT_FUNCTION(FixedText)(), &loan),
    "rmw_borrow_loaned_message");
  rmw_hazcat_rs__msg__FixedText * message = loan;
  memset(message, 0, sizeof(*message));
  message->count = number;
  message->length = (uint32_t)strlen(line);
  memcpy(message->data, line, message->length);
  if (talker->arguments->where) {
    where_print("published", message);
  }
  rmw_library_check(
    talker->rmw->rmw_publish_loaned_message(talker->publisher, message, NULL),
    "rmw_publish_loaned_message");
}

static void wait_for_subscriptions(talker_t * talker)
{
  double deadline = now() + talker->arguments->timeout;
  size_t matched = 0;
  while (!stop_requested()) {
    rmw_library_check(
      talker->rmw->rmw_publisher_count_matched_subscriptions(talker->publisher, &matched),
      "rmw_publisher_count_matched_subscriptions");
    if (matched >= talker->arguments->wait_for) {
      return;
    }
    if (talker->arguments->timeout > 0.0 && now() > deadline) {
      fprintf(
        stderr, "talker: %zu of %lu subscriptions after %g s\n",
        matched, talker->arguments->wait_for, talker->arguments->timeout);
      exit(EXIT_FAILURE);
    }
    sleep_until(talker, now() + 0.01);
  }
}

int main(int argc, char ** argv)
{
  arguments_t arguments = arguments_read(argc, argv, "/chatter", "Publishes 'Hello World: N' over rmw_hazcat_rs.");
  setvbuf(stdout, NULL, _IOLBF, 0);
  stop_block_signals();
  rmw_library_t rmw = rmw_library_open(arguments.library);

  rmw_session_t session;
  rmw_session_open(&rmw, &session, "talker", arguments.domain_id);
  rmw_qos_profile_t qos = rmw_qos_profile_default;
  qos.depth = 7;
  rmw_publisher_options_t options = rmw_get_default_publisher_options();
  talker_t talker = {
    .rmw = &rmw,
    .arguments = &arguments,
    .publisher = rmw.rmw_create_publisher(
      session.node,
      arguments.loaned ?
      MESSAGES_TYPE_SUPPORT_FUNCTION(FixedText)() : MESSAGES_TYPE_SUPPORT_FUNCTION(Text)(),
      arguments.topic, &qos, &options),
    .stop = rmw.rmw_create_guard_condition(&session.context),
    .wait_set = rmw.rmw_create_wait_set(&session.context, 1),
  };
  if (NULL == talker.publisher || NULL == talker.stop || NULL == talker.wait_set) {
    rmw_library_fail("talker");
  }
  if (arguments.loaned && !talker.publisher->can_loan_messages) {
    fprintf(stderr, "talker: %s cannot loan messages\n", arguments.topic);
    return EXIT_FAILURE;
  }
  if (!rmw_hazcat_rs__msg__Text__init(&talker.text)) {
    rmw_library_fail("out of memory");
  }
  stop_watch(&rmw, talker.stop);

  wait_for_subscriptions(&talker);
  double start = now();
  for (unsigned long number = 1; !stop_requested(); ++number) {
    char line[64];
    snprintf(line, sizeof(line), "Hello World: %lu", number);
    printf("Publishing: '%s'\n", line);
    if (arguments.loaned) {
      publish_loaned(&talker, number, line);
    } else {
      publish_text(&talker, line);
    }
    if (number == arguments.count) {
      break;
    }
    sleep_until(&talker, start + (double)number / arguments.rate);
  }

  rmw_hazcat_rs__msg__Text__fini(&talker.text);
  rmw_library_check(rmw.rmw_destroy_wait_set(talker.wait_set), "rmw_destroy_wait_set");
  rmw_library_check(rmw.rmw_destroy_publisher(session.node, talker.publisher), "rmw_destroy_publisher");
  stop_unwatch();
  rmw_library_check(rmw.rmw_destroy_guard_condition(talker.stop), "rmw_destroy_guard_condition");
  rmw_session_close(&rmw, &session);
  return EXIT_SUCCESS;
}
