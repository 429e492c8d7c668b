#include "stop.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_bool requested;
static const rmw_library_t * library;
static const rmw_guard_condition_t * wake;
static pthread_t thread;

static sigset_t stop_signals(void)
{
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

void stop_block_signals(void)
{
  sigset_t signals = stop_signals();
  pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

static void * watch(void * unused)
{
  (void)unused;
  sigset_t signals = stop_signals();
  int signal_number = 0;
  sigwait(&signals, &signal_number);
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
  atomic_store(&requested, true);
  if (RMW_RET_OK != library->rmw_trigger_guard_condition(wake)) {
    _Exit(EXIT_FAILURE);  // nothing would wake the main thread
  }
  return NULL;
}

void stop_watch(const rmw_library_t * rmw, const rmw_guard_condition_t * guard)
{
  library = rmw;
  wake = guard;
  if (0 != pthread_create(&thread, NULL, watch, NULL)) {
    fprintf(stderr, "cannot start a thread\n");
    exit(EXIT_FAILURE);
  }
}

void stop_unwatch(void)
{
  pthread_cancel(thread);  // sigwait is where it ends, if no signal has come
  pthread_join(thread, NULL);
}

bool stop_requested(void)
{
  return atomic_load(&requested);
}
