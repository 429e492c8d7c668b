// Prints what it hears, as demo_nodes_cpp's listener does, through the C symbols that rmw_hazcat_rs exports.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "arguments.h"
#include "messages.h"
#include "rmw_library.h"
#include "stop.h"
#include "where.h"

typedef struct listener
{
  const rmw_library_t * rmw;
  const arguments_t * arguments;
  rmw_subscription_t * subscription;
  rmw_hazcat_rs__msg__Text text;
} listener_t;

static double now(void)
{
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

// Takes one message and prints it; false if there was none.
static bool hear_text(listener_t * listener)
{
  bool taken = false;
  rmw_library_check(
    listener->rmw->rmw_take(listener->subscription, &listener->text, &taken, NULL), "rmw_take");
  if (taken) {
    printf("I heard: [%s]\n", listener->text.data.data);
  }
  return taken;
}

// The same without a copy: the message is read where the talker wrote it.
static bool hear_loaned(listener_t * listener)
{
  bool taken = false;
  void * loan = NULL;
  rmw_library_check(
    listener->rmw->rmw_take_loaned_message(listener->subscription, &loan, &taken, NULL),
    "rmw_take_loaned_message");
  if (!taken) {
    return false;
  }
  const rmw_hazcat_rs__msg__FixedText * message = loan;
  uint32_t length = message->length;
  if (length > sizeof(message->data)) {
    length = sizeof(message->data);
  }
  if (listener->arguments->where) {
    where_print("taken", message);
  }
  printf("I heard: [%.*s]\n", (int)length, (const char *)message->data);
  rmw_library_check(
    listener->rmw->rmw_return_loaned_message_from_subscription(listener->subscription, loan),
    "rmw_return_loaned_message_from_subscription");
  return true;
}

int main(int argc, char ** argv)
{
  arguments_t arguments = arguments_read(argc, argv, "/chatter", "Prints what a talker says over rmw_hazcat_rs.");
  setvbuf(stdout, NULL, _IOLBF, 0);
  stop_block_signals();
  rmw_library_t rmw = rmw_library_open(arguments.library);

  rmw_session_t session;
  rmw_session_open(&rmw, &session, "listener", arguments.domain_id);
  rmw_qos_profile_t qos = rmw_qos_profile_default;
  rmw_subscription_options_t options = rmw_get_default_subscription_options();
  listener_t listener = {
    .rmw = &rmw,
    .arguments = &arguments,
    .subscription = rmw.rmw_create_subscription(
      session.node,
      arguments.loaned ?
      MESSAGES_TYPE_SUPPORT_FUNCTION(FixedText)() : MESSAGES_TYPE_SUPPORT_FUNCTION(Text)(),
      arguments.topic, &qos, &options),
  };
  rmw_guard_condition_t * stop = rmw.rmw_create_guard_condition(&session.context);
  rmw_wait_set_t * wait_set = rmw.rmw_create_wait_set(&session.context, 2);
  if (NULL == listener.subscription || NULL == stop || NULL == wait_set) {
    rmw_library_fail("listener");
  }
  if (arguments.loaned && !listener.subscription->can_loan_messages) {
    fprintf(stderr, "listener: %s cannot loan messages\n", arguments.topic);
    return EXIT_FAILURE;
  }
  if (!rmw_hazcat_rs__msg__Text__init(&listener.text)) {
    rmw_library_fail("out of memory");
  }
  stop_watch(&rmw, stop);

  unsigned long heard = 0;
  double deadline = now() + arguments.timeout;
  while (!stop_requested() && (0 == arguments.count || heard < arguments.count)) {
    double left = deadline - now();
    if (arguments.timeout > 0.0 && left <= 0.0) {
      fprintf(
        stderr, "listener: heard %lu of %lu messages in %g s\n", heard, arguments.count,
        arguments.timeout);
      return EXIT_FAILURE;
    }
    void * subscribers[] = {listener.subscription->data};
    rmw_subscriptions_t subscriptions = {1, subscribers};
    void * conditions[] = {stop->data};
    rmw_guard_conditions_t guard_conditions = {1, conditions};
    rmw_time_t timeout = {(uint64_t)left, (uint64_t)((left - (double)(uint64_t)left) * 1e9)};
    rmw_ret_t result = rmw.rmw_wait(
      &subscriptions, &guard_conditions, NULL, NULL, NULL, wait_set,
      arguments.timeout > 0.0 ? &timeout : NULL);
    if (RMW_RET_TIMEOUT == result) {
      continue;
    }
    rmw_library_check(result, "rmw_wait");
    if (NULL == subscribers[0]) {
      continue;
    }
    while (0 == arguments.count || heard < arguments.count) {
      if (!(arguments.loaned ? hear_loaned(&listener) : hear_text(&listener))) {
        break;
      }
      ++heard;
    }
  }

  rmw_hazcat_rs__msg__Text__fini(&listener.text);
  rmw_library_check(rmw.rmw_destroy_wait_set(wait_set), "rmw_destroy_wait_set");
  rmw_library_check(
    rmw.rmw_destroy_subscription(session.node, listener.subscription), "rmw_destroy_subscription");
  stop_unwatch();
  rmw_library_check(rmw.rmw_destroy_guard_condition(stop), "rmw_destroy_guard_condition");
  rmw_session_close(&rmw, &session);
  return EXIT_SUCCESS;
}
