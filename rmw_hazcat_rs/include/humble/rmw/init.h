// Options, contexts, and their life cycle.
#ifndef RMW_HAZCAT_RS__HUMBLE__RMW__INIT_H_
#define RMW_HAZCAT_RS__HUMBLE__RMW__INIT_H_

#include <stddef.h>
#include <stdint.h>

#include "rcutils/allocator.h"
#include "rmw/ret_types.h"

#ifdef __cplusplus
extern "C"
{
#endif

// Ask the middleware for its own default domain.
#define RMW_DEFAULT_DOMAIN_ID SIZE_MAX

typedef enum rmw_security_enforcement_policy_e
{
  RMW_SECURITY_ENFORCEMENT_PERMISSIVE,
  RMW_SECURITY_ENFORCEMENT_ENFORCE
} rmw_security_enforcement_policy_t;

typedef struct rmw_security_options_s
{
  rmw_security_enforcement_policy_t enforce_security;
  char * security_root_path;  // owned
} rmw_security_options_t;

typedef enum rmw_localhost_only_e
{
  RMW_LOCALHOST_ONLY_DEFAULT = 0,
  RMW_LOCALHOST_ONLY_ENABLED = 1,
  RMW_LOCALHOST_ONLY_DISABLED = 2
} rmw_localhost_only_t;

// Belongs to the implementation.
typedef struct rmw_init_options_impl_s rmw_init_options_impl_t;

typedef struct rmw_init_options_s
{
  uint64_t instance_id;
  const char * implementation_identifier;
  size_t domain_id;
  rmw_security_options_t security_options;
  rmw_localhost_only_t localhost_only;
  char * enclave;  // owned, from `allocator`
  rcutils_allocator_t allocator;
  rmw_init_options_impl_t * impl;
} rmw_init_options_t;

// Belongs to the implementation.
typedef struct rmw_context_impl_s rmw_context_impl_t;

typedef struct rmw_context_s
{
  uint64_t instance_id;
  const char * implementation_identifier;
  rmw_init_options_t options;
  size_t actual_domain_id;  // what RMW_DEFAULT_DOMAIN_ID turned into
  rmw_context_impl_t * impl;
} rmw_context_t;

rmw_ret_t rmw_init_options_init(rmw_init_options_t * init_options, rcutils_allocator_t allocator);
rmw_ret_t rmw_init_options_copy(const rmw_init_options_t * src, rmw_init_options_t * dst);
rmw_ret_t rmw_init_options_fini(rmw_init_options_t * init_options);

rmw_ret_t rmw_init(const rmw_init_options_t * options, rmw_context_t * context);
rmw_ret_t rmw_shutdown(rmw_context_t * context);
rmw_ret_t rmw_context_fini(rmw_context_t * context);

#ifdef __cplusplus
}
#endif

#endif
