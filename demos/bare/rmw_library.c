#include "rmw_library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "rcutils/strdup.h"

rmw_library_t rmw_library_open(const char * file)
{
  rmw_library_t rmw;
  rmw.handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (NULL == rmw.handle) {
    fprintf(stderr, "cannot open the middleware: %s\n", dlerror());
    exit(EXIT_FAILURE);
  }
#define FUNCTION(name) \
  rmw.name = (__typeof__(rmw.name))dlsym(rmw.handle, #name); \
  if (NULL == rmw.name) { \
    fprintf(stderr, "%s does not export %s\n", file, #name); \
    exit(EXIT_FAILURE); \
  }
  RMW_LIBRARY_FUNCTIONS(FUNCTION)
#undef FUNCTION
  return rmw;
}

void rmw_library_fail(const char * what)
{
  fprintf(stderr, "%s: %s\n", what, rcutils_get_error_string().str);
  exit(EXIT_FAILURE);
}

void rmw_library_check(rmw_ret_t result, const char * what)
{
  if (RMW_RET_OK != result) {
    rmw_library_fail(what);
  }
}

void rmw_session_open(
  const rmw_library_t * rmw, rmw_session_t * session, const char * node_name, size_t domain_id)
{
  rcutils_allocator_t allocator = rcutils_get_default_allocator();
  session->options = rmw_get_zero_initialized_init_options();
  rmw_library_check(rmw->rmw_init_options_init(&session->options, allocator), "rmw_init_options_init");
  session->options.domain_id = domain_id;
  session->options.enclave = rcutils_strdup("/", allocator);
  if (NULL == session->options.enclave) {
    rmw_library_fail("out of memory");
  }
  session->context = rmw_get_zero_initialized_context();
  rmw_library_check(rmw->rmw_init(&session->options, &session->context), "rmw_init");
  session->node = rmw->rmw_create_node(&session->context, node_name, "/");
  if (NULL == session->node) {
    rmw_library_fail("rmw_create_node");
  }
}

void rmw_session_close(const rmw_library_t * rmw, rmw_session_t * session)
{
  rmw_library_check(rmw->rmw_destroy_node(session->node), "rmw_destroy_node");
  rmw_library_check(rmw->rmw_shutdown(&session->context), "rmw_shutdown");
  rmw_library_check(rmw->rmw_context_fini(&session->context), "rmw_context_fini");
  rmw_library_check(rmw->rmw_init_options_fini(&session->options), "rmw_init_options_fini");
}
