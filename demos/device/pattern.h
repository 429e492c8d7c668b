// What the images show: the same as the kernels of hazcat_core/src/domain/cuda/kernels.cu paint.
#ifndef PATTERN_H_
#define PATTERN_H_

#include <stddef.h>
#include <stdint.h>

static inline uint8_t pattern_at(uint64_t number, uint64_t at)
{
  uint64_t x = number ^ at / 8;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ x >> 27) * 0x94d049bb133111ebull;
  x ^= x >> 31;
  return (uint8_t)(x >> at % 8 * 8);
}

static inline void pattern_fill(uint8_t * pixels, size_t bytes, uint64_t number)
{
  for (size_t at = 0; at < bytes; ++at) {
    pixels[at] = pattern_at(number, at);
  }
}

static inline void pattern_invert(uint8_t * pixels, size_t bytes, uint64_t unused)
{
  (void)unused;
  for (size_t at = 0; at < bytes; ++at) {
    pixels[at] = (uint8_t)(255 - pixels[at]);
  }
}

static inline uint64_t pattern_wrong_negative(const uint8_t * pixels, size_t bytes, uint64_t number)
{
  uint64_t wrong = 0;
  for (size_t at = 0; at < bytes; ++at) {
    wrong += pixels[at] + pattern_at(number, at) != 255;
  }
  return wrong;
}

#endif  // PATTERN_H_
