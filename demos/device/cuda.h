// A CUDA device and the kernels of the demos, through CUDA's driver, opened at run time: nothing of CUDA is needed to build this.
#ifndef CUDA_H_
#define CUDA_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cuda cuda_t;

// The device of memory domain "cuda:N"; NULL, after a line on stderr, where there is none.
cuda_t * cuda_open(const char * domain);
void cuda_close(cuda_t * cuda);

// The stream on which all of this happens. Nothing waits for it, except cuda_read and cuda_wrong_negative.
void * cuda_stream(const cuda_t * cuda);

bool cuda_write(cuda_t * cuda, void * to, const void * from, size_t bytes);
bool cuda_read(cuda_t * cuda, const void * from, void * to, size_t bytes);
bool cuda_fill(cuda_t * cuda, void * at, size_t bytes, uint64_t number);
bool cuda_invert(cuda_t * cuda, void * at, size_t bytes);
// Works on a copy on the device: a message that was taken is not to be changed.
int64_t cuda_wrong_negative(cuda_t * cuda, const void * at, size_t bytes, uint64_t number);

#endif  // CUDA_H_
