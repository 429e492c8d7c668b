#include "cuda.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The kernels, as the middleware has them, with a terminating zero.
__asm__(
  ".section .rodata\n"
  ".globl demo_kernels\n"
  "demo_kernels:\n"
  ".incbin \"" DEMO_KERNELS "\"\n"
  ".byte 0\n"
  ".previous\n");
extern const char demo_kernels[];

// Of CUDA's driver interface, what is used here.
#define DRIVER_FUNCTIONS(FUNCTION) \
  FUNCTION(cuInit, "cuInit", (unsigned)) \
  FUNCTION(cuDeviceGet, "cuDeviceGet", (int *, int)) \
  FUNCTION(cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", (void **, int)) \
  FUNCTION(cuDevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", (int)) \
  FUNCTION(cuCtxSetCurrent, "cuCtxSetCurrent", (void *)) \
  FUNCTION(cuModuleLoadData, "cuModuleLoadData", (void **, const void *)) \
  FUNCTION(cuModuleGetFunction, "cuModuleGetFunction", (void **, void *, const char *)) \
  FUNCTION(cuStreamCreate, "cuStreamCreate", (void **, unsigned)) \
  FUNCTION(cuStreamSynchronize, "cuStreamSynchronize", (void *)) \
  FUNCTION(cuStreamDestroy, "cuStreamDestroy_v2", (void *)) \
  FUNCTION(cuMemAlloc, "cuMemAlloc_v2", (uint64_t *, size_t)) \
  FUNCTION(cuMemFree, "cuMemFree_v2", (uint64_t)) \
  FUNCTION(cuMemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2", (uint64_t, const void *, size_t, void *)) \
  FUNCTION(cuMemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2", (void *, uint64_t, size_t, void *)) \
  FUNCTION(cuMemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2", (uint64_t, uint64_t, size_t, void *)) \
  FUNCTION( \
    cuLaunchKernel, "cuLaunchKernel", \
    (void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **)) \
  FUNCTION(cuGetErrorName, "cuGetErrorName", (int, const char **))

struct cuda
{
  int number;
  void * context;
  void * stream;
  void * fill;
  void * invert;
  void * verify;
  uint64_t scratch;  // as large as the largest image so far
  size_t scratch_bytes;
#define FUNCTION(name, symbol, arguments) int (* name) arguments;
  DRIVER_FUNCTIONS(FUNCTION)
#undef FUNCTION
};

static bool worked(const cuda_t * cuda, int result, const char * what)
{
  if (0 == result) {
    return true;
  }
  const char * name = NULL;
  cuda->cuGetErrorName(result, &name);
  fprintf(stderr, "%s: %s\n", what, NULL == name ? "unknown CUDA error" : name);
  return false;
}

#define TRY(cuda, call) worked(cuda, (cuda)->call, #call)

static bool open_driver(cuda_t * cuda)
{
  void * library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (NULL == library) {
    fprintf(stderr, "no CUDA driver: %s\n", dlerror());
    return false;
  }
  void * symbol;
#define FUNCTION(name, text, arguments) \
  symbol = dlsym(library, text); \
  memcpy(&cuda->name, &symbol, sizeof(symbol)); \
  if (NULL == symbol) { \
    fprintf(stderr, "the CUDA driver has no %s\n", text); \
    return false; \
  }
  DRIVER_FUNCTIONS(FUNCTION)
#undef FUNCTION
  return true;
}

cuda_t * cuda_open(const char * domain)
{
  cuda_t * cuda = calloc(1, sizeof(*cuda));
  if (NULL == cuda) {
    return NULL;
  }
  char * end = NULL;
  const char * number = strchr(domain, ':');
  cuda->number = NULL == number ? 0 : (int)strtoul(number + 1, &end, 10);
  if (NULL != end && (end == number + 1 || '\0' != *end)) {
    fprintf(stderr, "%s: this program wants the number of a device, such as cuda:0\n", domain);
    free(cuda);
    return NULL;
  }
  int device = 0;
  void * module = NULL;
  const unsigned non_blocking = 1;
  if (!open_driver(cuda) || !TRY(cuda, cuInit(0)) || !TRY(cuda, cuDeviceGet(&device, cuda->number)) ||
    !TRY(cuda, cuDevicePrimaryCtxRetain(&cuda->context, device)) || !TRY(cuda, cuCtxSetCurrent(cuda->context)) ||
    !TRY(cuda, cuModuleLoadData(&module, demo_kernels)) ||
    !TRY(cuda, cuModuleGetFunction(&cuda->fill, module, "hazcat_fill")) ||
    !TRY(cuda, cuModuleGetFunction(&cuda->invert, module, "hazcat_invert")) ||
    !TRY(cuda, cuModuleGetFunction(&cuda->verify, module, "hazcat_verify")) ||
    !TRY(cuda, cuStreamCreate(&cuda->stream, non_blocking)))
  {
    free(cuda);
    return NULL;
  }
  cuda->number = device;
  return cuda;
}

// Callbacks may run on any thread of an executor.
static bool current(cuda_t * cuda)
{
  return TRY(cuda, cuCtxSetCurrent(cuda->context));
}

void cuda_close(cuda_t * cuda)
{
  if (current(cuda) && TRY(cuda, cuStreamSynchronize(cuda->stream)) && TRY(cuda, cuStreamDestroy(cuda->stream)) &&
    (0 == cuda->scratch || TRY(cuda, cuMemFree(cuda->scratch))))
  {
    TRY(cuda, cuDevicePrimaryCtxRelease(cuda->number));
  }
  free(cuda);
}

void * cuda_stream(const cuda_t * cuda)
{
  return cuda->stream;
}

bool cuda_write(cuda_t * cuda, void * to, const void * from, size_t bytes)
{
  // From ordinary memory: the driver has read it when the call returns.
  return current(cuda) && TRY(cuda, cuMemcpyHtoDAsync((uintptr_t)to, from, bytes, cuda->stream));
}

bool cuda_read(cuda_t * cuda, const void * from, void * to, size_t bytes)
{
  return current(cuda) && TRY(cuda, cuMemcpyDtoHAsync(to, (uintptr_t)from, bytes, cuda->stream)) &&
         TRY(cuda, cuStreamSynchronize(cuda->stream));
}

static bool launch(cuda_t * cuda, void * kernel, size_t bytes, void ** parameters)
{
  const unsigned block = 256;
  size_t blocks = bytes / block + 1;
  unsigned grid = blocks > 2048 ? 2048 : (unsigned)blocks;
  return TRY(
    cuda, cuLaunchKernel(kernel, grid, 1, 1, block, 1, 1, 0, cuda->stream, parameters, NULL));
}

bool cuda_fill(cuda_t * cuda, void * at, size_t bytes, uint64_t number)
{
  uint64_t address = (uintptr_t)at, length = bytes;
  void * parameters[] = {&address, &length, &number};
  return current(cuda) && launch(cuda, cuda->fill, bytes, parameters);
}

static bool invert(cuda_t * cuda, uint64_t address, uint64_t length)
{
  void * parameters[] = {&address, &length};
  return launch(cuda, cuda->invert, length, parameters);
}

bool cuda_invert(cuda_t * cuda, void * at, size_t bytes)
{
  return current(cuda) && invert(cuda, (uintptr_t)at, bytes);
}

static bool make_scratch(cuda_t * cuda, size_t bytes)
{
  if (cuda->scratch_bytes >= bytes) {
    return true;
  }
  if (0 != cuda->scratch && !TRY(cuda, cuMemFree(cuda->scratch))) {
    return false;
  }
  cuda->scratch = 0;
  cuda->scratch_bytes = 0;
  if (!TRY(cuda, cuMemAlloc(&cuda->scratch, bytes))) {
    return false;
  }
  cuda->scratch_bytes = bytes;
  return true;
}

int64_t cuda_wrong_negative(cuda_t * cuda, const void * at, size_t bytes, uint64_t number)
{
  const size_t count_at = (bytes + 7) / 8 * 8;
  if (!current(cuda) || !make_scratch(cuda, count_at + 8)) {
    return -1;
  }
  uint64_t pixels = cuda->scratch, length = bytes, count = cuda->scratch + count_at, wrong = 0;
  void * parameters[] = {&pixels, &length, &number, &count};
  if (TRY(cuda, cuMemcpyDtoDAsync(pixels, (uintptr_t)at, bytes, cuda->stream)) &&
    TRY(cuda, cuMemcpyHtoDAsync(count, &wrong, sizeof(wrong), cuda->stream)) && invert(cuda, pixels, bytes) &&
    launch(cuda, cuda->verify, bytes, parameters) &&
    TRY(cuda, cuMemcpyDtoHAsync(&wrong, count, sizeof(wrong), cuda->stream)) &&
    TRY(cuda, cuStreamSynchronize(cuda->stream)))
  {
    return (int64_t)wrong;
  }
  return -1;
}
