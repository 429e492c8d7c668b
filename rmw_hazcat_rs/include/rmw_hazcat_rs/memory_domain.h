/// \file
/// Which memory a publisher or subscription of rmw_hazcat_rs prefers: what the `rmw_specific_publisher_payload` of
/// rmw_publisher_options_t and the `rmw_specific_subscription_payload` of rmw_subscription_options_t may point to. It is read
/// while the endpoint is being created, and not needed afterwards.
///
/// Who gives a payload says with it: I know that loaned messages may lie in device memory. rmw_borrow_loaned_message and
/// rmw_take_loaned_message of an endpoint on a device then give addresses of that device, which host code must not follow.
/// rmw_publish and rmw_take copy across. An endpoint without a payload can be put on a device by configuration; it lends ordinary
/// memory, and copies that across too. (docs/configuration.md of rmw_hazcat_rs has the whole story.)
///
/// For rclcpp, see memory_domain.hpp.
#ifndef RMW_HAZCAT_RS__MEMORY_DOMAIN_H_
#define RMW_HAZCAT_RS__MEMORY_DOMAIN_H_

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C"
{
#endif

/// Tells this structure from other implementations' payloads.
#define RMW_HAZCAT_RS_MEMORY_DOMAIN_MAGIC 0x6d6f6474617a6168ull

/// Bytes for the name of a memory domain, with its terminating zero.
#define RMW_HAZCAT_RS_MEMORY_DOMAIN_NAME_BYTES 64

/// A preference.
typedef struct rmw_hazcat_rs_memory_domain_s
{
  /// RMW_HAZCAT_RS_MEMORY_DOMAIN_MAGIC
  uint64_t magic;
  /// sizeof(rmw_hazcat_rs_memory_domain_t) of whoever made it: later versions append.
  uint64_t size;
  /// "host", "sim:0", "cuda:0", "cuda:GPU-<uuid>", or a domain that another crate registered; zero-terminated. Empty: whatever
  /// the configuration says (HAZCAT_CONFIG, HAZCAT_DOMAIN).
  char name[RMW_HAZCAT_RS_MEMORY_DOMAIN_NAME_BYTES];
  /// The device's stream (such as a CUstream) that fills a publisher's loaned messages, or uses a subscription's. NULL: what
  /// fills a message is done when it is published, a message is ready when it is taken, and done with when it is returned.
  void * stream;
} rmw_hazcat_rs_memory_domain_t;

/// A preference for the domain of this name, without a stream. A name that is too long is cut, and refused at creation.
static inline rmw_hazcat_rs_memory_domain_t rmw_hazcat_rs_memory_domain(const char * name)
{
  rmw_hazcat_rs_memory_domain_t domain;
  memset(&domain, 0, sizeof(domain));
  domain.magic = RMW_HAZCAT_RS_MEMORY_DOMAIN_MAGIC;
  domain.size = sizeof(domain);
  for (size_t at = 0; at < sizeof(domain.name) && name[at] != '\0'; ++at) {
    domain.name[at] = name[at];
  }
  return domain;
}

/// Copies a function of the middleware, where it is rmw_hazcat_rs that this process runs, into the pointer to a function at
/// `function`. It is not linked: an executable that links an implementation of rmw could use no other one.
/// \return whether it is there
static inline int rmw_hazcat_rs_find_function(const char * name, void * function)
{
  void * library = dlopen("librmw_hazcat_rs.so", RTLD_LAZY | RTLD_NOLOAD);
  if (NULL == library) {
    return 0;
  }
  void * symbol = dlsym(library, name);
  dlclose(library);  // it stays: the middleware is in use
  memcpy(function, &symbol, sizeof(symbol));
  return NULL != symbol;
}

/// Says where a message lies that was borrowed or taken on loan and is not yet published or returned: writes the domain's
/// name, such as "sim:0", with its terminating zero (at most RMW_HAZCAT_RS_MEMORY_DOMAIN_NAME_BYTES bytes) to `name`.
/// \return 1 for an address of a device's memory; 0, and the name "host", for everything else
static inline int rmw_hazcat_rs_memory_domain_of(const void * message, char * name)
{
  int32_t (* domain_of)(const void *, char *);
  if (rmw_hazcat_rs_find_function("rmw_hazcat_rs_domain_of", &domain_of)) {
    return domain_of(message, name);
  }
  memcpy(name, "host", sizeof("host"));
  return 0;
}

#ifdef __cplusplus
}
#endif

#endif  // RMW_HAZCAT_RS__MEMORY_DOMAIN_H_
