#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda.h"
#include "pattern.h"
#include "rmw_hazcat_rs/simulated_device.h"

typedef enum kind {HOST, SIMULATED, CUDA} kind_t;

struct device
{
  kind_t kind;
  cuda_t * cuda;
};

device_t * device_open(const char * domain)
{
  device_t device = {.kind = HOST, .cuda = NULL};
  if (0 == strncmp(domain, "sim", 3)) {
    device.kind = SIMULATED;
  } else if (0 == strncmp(domain, "cuda", 4)) {
    device.kind = CUDA;
    device.cuda = cuda_open(domain);
    if (NULL == device.cuda) {
      return NULL;
    }
  } else if (0 != strcmp(domain, "host")) {
    fprintf(stderr, "this program knows no device '%s'\n", domain);
    return NULL;
  }
  device_t * opened = malloc(sizeof(device));
  if (NULL != opened) {
    *opened = device;
  }
  return opened;
}

void device_close(device_t * device)
{
  if (NULL != device->cuda) {
    cuda_close(device->cuda);
  }
  free(device);
}

void * device_stream(const device_t * device)
{
  return NULL == device->cuda ? NULL : cuda_stream(device->cuda);
}

bool device_write(device_t * device, void * to, const void * from, size_t bytes)
{
  switch (device->kind) {
    case SIMULATED: return rmw_hazcat_rs_write_simulated(to, from, bytes);
    case CUDA: return cuda_write(device->cuda, to, from, bytes);
    default: memcpy(to, from, bytes); return true;
  }
}

bool device_read(device_t * device, const void * from, void * to, size_t bytes)
{
  switch (device->kind) {
    case SIMULATED: return rmw_hazcat_rs_read_simulated(from, to, bytes);
    case CUDA: return cuda_read(device->cuda, from, to, bytes);
    default: memcpy(to, from, bytes); return true;
  }
}

// A kernel of the simulated device: reads all, works, writes all.
static bool simulated(void * pixels, size_t bytes, uint64_t number, void (* kernel)(uint8_t *, size_t, uint64_t))
{
  uint8_t * copy = malloc(bytes);
  bool done = NULL != copy && rmw_hazcat_rs_read_simulated(pixels, copy, bytes);
  if (done) {
    kernel(copy, bytes, number);
    done = rmw_hazcat_rs_write_simulated(pixels, copy, bytes);
  }
  free(copy);
  return done;
}

bool device_paint(device_t * device, void * pixels, size_t bytes, uint64_t number)
{
  switch (device->kind) {
    case SIMULATED: return simulated(pixels, bytes, number, pattern_fill);
    case CUDA: return cuda_fill(device->cuda, pixels, bytes, number);
    default: pattern_fill(pixels, bytes, number); return true;
  }
}

bool device_invert(device_t * device, void * pixels, size_t bytes)
{
  switch (device->kind) {
    case SIMULATED: return simulated(pixels, bytes, 0, pattern_invert);
    case CUDA: return cuda_invert(device->cuda, pixels, bytes);
    default: pattern_invert(pixels, bytes, 0); return true;
  }
}

int64_t device_wrong_pixels(device_t * device, const void * pixels, size_t bytes, uint64_t number)
{
  if (CUDA == device->kind) {
    return cuda_wrong_negative(device->cuda, pixels, bytes, number);
  }
  uint8_t * copy = malloc(bytes);
  int64_t wrong = -1;
  if (NULL != copy && device_read(device, pixels, copy, bytes)) {
    wrong = (int64_t)pattern_wrong_negative(copy, bytes, number);
  }
  free(copy);
  return wrong;
}
