#ifndef SHIM_STDIO_H
#define SHIM_STDIO_H
#include <stddef.h>
__attribute__((format(printf, 1, 2))) int printf(const char *format, ...);
size_t strlen(const char *text);
#endif
