#include "arguments.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_help(FILE * out, const char * program, const char * purpose)
{
  fprintf(
    out,
    "usage: %s [options]\n"
    "%s\n"
    "  -c, --count N        end after N messages (default: run until interrupted)\n"
    "  -r, --rate HZ        talker: messages per second (default 1)\n"
    "  -w, --wait-for N     talker: begin when N subscriptions are matched (default 0)\n"
    "  -t, --timeout S      fail if that takes, or --count is not reached within, S seconds (default: never)\n"
    "  -l, --loaned         fixed-size messages, loaned in both directions\n"
    "      --where          with --loaned: print the file and offset of each message in memory\n"
    "      --domain NAME    camera, viewer: memory domain, such as sim:0 or cuda:0 (default host)\n"
    "      --topic NAME     full topic name (default /chatter, of images /image)\n"
    "      --library FILE   middleware to open (default librmw_hazcat_rs.so)\n"
    "  -h, --help\n"
    "ROS_DOMAIN_ID chooses the domain (default 0).\n",
    program, purpose);
}

static _Noreturn void refuse(const char * program, const char * option, const char * text)
{
  fprintf(stderr, "%s: %s: cannot use '%s' (see --help)\n", program, option, text);
  exit(2);
}

static unsigned long whole_number(const char * program, const char * option, const char * text)
{
  char * end = NULL;
  errno = 0;
  unsigned long number = strtoul(text, &end, 10);
  if (0 != errno || end == text || '\0' != *end || '-' == text[0]) {
    refuse(program, option, text);
  }
  return number;
}

static double positive_number(const char * program, const char * option, const char * text)
{
  char * end = NULL;
  double number = strtod(text, &end);
  if (end == text || '\0' != *end || !isfinite(number) || number <= 0.0) {
    refuse(program, option, text);
  }
  return number;
}

arguments_t arguments_read(int argc, char ** argv, const char * topic, const char * purpose)
{
  arguments_t arguments = {
    .topic = topic, .library = "librmw_hazcat_rs.so", .domain = "host", .rate = 1.0,
  };
  const char * domain = getenv("ROS_DOMAIN_ID");
  if (NULL != domain && '\0' != domain[0]) {
    arguments.domain_id = whole_number(argv[0], "ROS_DOMAIN_ID", domain);
  }
  enum {TOPIC = 256, LIBRARY, WHERE, DOMAIN};
  static const struct option options[] = {
    {"count", required_argument, NULL, 'c'},
    {"rate", required_argument, NULL, 'r'},
    {"wait-for", required_argument, NULL, 'w'},
    {"timeout", required_argument, NULL, 't'},
    {"loaned", no_argument, NULL, 'l'},
    {"where", no_argument, NULL, WHERE},
    {"domain", required_argument, NULL, DOMAIN},
    {"topic", required_argument, NULL, TOPIC},
    {"library", required_argument, NULL, LIBRARY},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
  };
  int option;
  while (-1 != (option = getopt_long(argc, argv, "c:r:w:t:lh", options, NULL))) {
    switch (option) {
      case 'c': arguments.count = whole_number(argv[0], "--count", optarg); break;
      case 'r': arguments.rate = positive_number(argv[0], "--rate", optarg); break;
      case 'w': arguments.wait_for = whole_number(argv[0], "--wait-for", optarg); break;
      case 't': arguments.timeout = positive_number(argv[0], "--timeout", optarg); break;
      case 'l': arguments.loaned = true; break;
      case WHERE: arguments.where = true; break;
      case DOMAIN: arguments.domain = optarg; break;
      case TOPIC: arguments.topic = optarg; break;
      case LIBRARY: arguments.library = optarg; break;
      case 'h': print_help(stdout, argv[0], purpose); exit(EXIT_SUCCESS);
      default: print_help(stderr, argv[0], purpose); exit(2);
    }
  }
  if (optind < argc) {
    refuse(argv[0], "unexpected argument", argv[optind]);
  }
  return arguments;
}
