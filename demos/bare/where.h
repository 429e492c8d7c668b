// In which file, and where in it, a pointer's memory lies: the same for two processes if and only if they look at
// the same memory, whatever addresses it is mapped at.
#ifndef WHERE_H_
#define WHERE_H_

// Prints "<label>: inode <number> offset <bytes> access <r--|rw-> <path>", or "... anonymous memory".
void where_print(const char * label, const void * pointer);

#endif  // WHERE_H_
