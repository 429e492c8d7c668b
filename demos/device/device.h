// What the image demos do with a device: paint an image where it lies, work on it in place, and look whether it is right. All of
// it is done by code on the device; the host sees no pixel.
//
// "sim:N": the middleware's simulated device. "cuda:N": kernels of the middleware's own (kernels.ptx), started through CUDA's
// driver, which is opened at run time. "host": ordinary memory.
#ifndef DEVICE_H_
#define DEVICE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C"
{
#endif

typedef struct device device_t;

// The device of a memory domain; NULL, after a line on stderr, where there is none.
device_t * device_open(const char * domain);

// Ends its use.
void device_close(device_t * device);

// The stream on which it works, for the payload of an endpoint; NULL where it has none.
void * device_stream(const device_t * device);

// Copies the beginning of a message (its fields before the pixels) to the device.
bool device_write(device_t * device, void * to, const void * from, size_t bytes);

// The same the other way. Waits until it is there.
bool device_read(device_t * device, const void * from, void * to, size_t bytes);

// Paints pixels: a pattern that belongs to `number`.
bool device_paint(device_t * device, void * pixels, size_t bytes, uint64_t number);

// Turns pixels into their negative, in place.
bool device_invert(device_t * device, void * pixels, size_t bytes);

// How many pixels are not those of the negative of image `number`; negative where that cannot be told. Changes nothing.
int64_t device_wrong_pixels(device_t * device, const void * pixels, size_t bytes, uint64_t number);

#ifdef __cplusplus
}
#endif

#endif  // DEVICE_H_
