#include "where.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

void where_print(const char * label, const void * pointer)
{
  uintptr_t address = (uintptr_t)pointer;
  FILE * maps = fopen("/proc/self/maps", "r");
  char line[4352];
  while (NULL != maps && NULL != fgets(line, sizeof(line), maps)) {
    uintptr_t begin, end;
    uint64_t offset;
    uint64_t inode;
    char access[5] = "";
    int path = 0;
    if (5 != sscanf(
        line, "%" SCNxPTR "-%" SCNxPTR " %4s %" SCNx64 " %*s %" SCNu64 " %n",
        &begin, &end, access, &offset, &inode, &path) || address < begin || address >= end)
    {
      continue;
    }
    fclose(maps);
    line[strcspn(line, "\n")] = '\0';
    if (0 == inode) {
      printf("%s: anonymous memory\n", label);
    } else {
      printf(
        "%s: inode %" PRIu64 " offset %" PRIu64 " access %.3s %s\n",
        label, inode, offset + (address - begin), access, line + path);
    }
    return;
  }
  if (NULL != maps) {
    fclose(maps);
  }
  printf("%s: not mapped\n", label);
}
