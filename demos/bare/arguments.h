// Command line of the demo programs.
#ifndef ARGUMENTS_H_
#define ARGUMENTS_H_

#include <stdbool.h>
#include <stddef.h>

typedef struct arguments
{
  const char * topic;      // full topic name
  const char * library;    // file name of the middleware, default "librmw_hazcat_rs.so"
  const char * domain;     // camera, viewer: memory domain, default "host"
  size_t domain_id;        // from ROS_DOMAIN_ID, default 0
  unsigned long count;     // messages after which the program ends, 0: never
  double rate;             // talker: messages per second
  unsigned long wait_for;  // talker: subscriptions to wait for before the first message
  double timeout;          // seconds after which a program with something left to wait for fails, 0: never
  bool loaned;             // use the fixed-size message, and loans in both directions
  bool where;              // print the file and offset at which each loaned message lies
} arguments_t;

// Reads the command line; prints help or an error and ends the program where asked to or needed. `topic` is the default.
arguments_t arguments_read(int argc, char ** argv, const char * topic, const char * purpose);

#endif  // ARGUMENTS_H_
