/// \file
/// What code on the simulated device (memory domain "sim:0") does, for tests and demonstrations on machines without a GPU: it
/// reads and writes messages on loan in the device's memory, which host code cannot.
#ifndef RMW_HAZCAT_RS__SIMULATED_DEVICE_H_
#define RMW_HAZCAT_RS__SIMULATED_DEVICE_H_

#include "rmw_hazcat_rs/memory_domain.h"

#ifdef __cplusplus
extern "C"
{
#endif

/// Reads a message, or a part of one, on the device.
/// \return 1, or 0 where that is not all memory of a simulated device
static inline int rmw_hazcat_rs_read_simulated(const void * address, void * to, size_t bytes)
{
  int32_t (* read)(const void *, void *, size_t);
  return rmw_hazcat_rs_find_function("rmw_hazcat_rs_simulated_read", &read) && read(address, to, bytes);
}

/// Writes to a borrowed message on the device.
/// \return 1, or 0 where that is not all memory of a simulated device that this process may write to
static inline int rmw_hazcat_rs_write_simulated(void * address, const void * from, size_t bytes)
{
  int32_t (* write)(void *, const void *, size_t);
  return rmw_hazcat_rs_find_function("rmw_hazcat_rs_simulated_write", &write) && write(address, from, bytes);
}

#ifdef __cplusplus
}
#endif

#endif  // RMW_HAZCAT_RS__SIMULATED_DEVICE_H_
