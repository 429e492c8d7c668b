// Code for CUDA devices: the images of the demo, and checking bytes for tests and measurements.
// kernels.ptx is made of this by scripts/cuda_kernels.py; the driver compiles that for whatever device it finds.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

__device__ static u64 mix(u64 x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ x >> 27) * 0x94d049bb133111ebull;
  return x ^ x >> 31;
}

// The byte at `at` of a message with this seed.
__device__ static u8 expected(u64 seed, u64 at) { return (u8)(mix(seed ^ at / 8) >> at % 8 * 8); }

// Fills a message with bytes that depend on `seed` and on their place.
extern "C" __global__ void hazcat_fill(u8* bytes, u64 len, u64 seed) {
  const u64 step = (u64)gridDim.x * blockDim.x;
  const u64 first = (u64)blockIdx.x * blockDim.x + threadIdx.x;
  // Word by word where the address allows it.
  const u64 words = (u64)bytes % 8 ? 0 : len / 8;
  for (u64 word = first; word < words; word += step) ((u64*)bytes)[word] = mix(seed ^ word);
  for (u64 at = words * 8 + first; at < len; at += step) bytes[at] = expected(seed, at);
}

// Adds the number of bytes that are not as `hazcat_fill` wrote them.
extern "C" __global__ void hazcat_verify(const u8* bytes, u64 len, u64 seed, u64* wrong) {
  const u64 step = (u64)gridDim.x * blockDim.x;
  u64 count = 0;
  for (u64 at = (u64)blockIdx.x * blockDim.x + threadIdx.x; at < len; at += step) count += bytes[at] != expected(seed, at);
  if (count) atomicAdd(wrong, count);
}

// Turns an image into its negative, in place.
extern "C" __global__ void hazcat_invert(u8* bytes, u64 len) {
  const u64 step = (u64)gridDim.x * blockDim.x;
  for (u64 at = (u64)blockIdx.x * blockDim.x + threadIdx.x; at < len; at += step) bytes[at] = 255 - bytes[at];
}

// Does nothing for so many nanoseconds: a producer that takes its time.
extern "C" __global__ void hazcat_spin(u64 nanoseconds) {
  u64 start, now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
  do {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  } while (now - start < nanoseconds);
}
