/* SPDX-License-Identifier: Apache-2.0
 * Names by which compilers for Arm call the functions of memory.c.
 */
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);

#define COPY(name) \
    void name(void *restrict to, const void *restrict from, size_t bytes); \
    void name(void *restrict to, const void *restrict from, size_t bytes) { memcpy(to, from, bytes); }
#define MOVE(name) \
    void name(void *to, const void *from, size_t bytes); \
    void name(void *to, const void *from, size_t bytes) { memmove(to, from, bytes); }
#define SET(name) \
    void name(void *to, size_t bytes, int value); \
    void name(void *to, size_t bytes, int value) { memset(to, value, bytes); }
#define CLEAR(name) \
    void name(void *to, size_t bytes); \
    void name(void *to, size_t bytes) { memset(to, 0, bytes); }

COPY(__aeabi_memcpy)
COPY(__aeabi_memcpy4)
COPY(__aeabi_memcpy8)
MOVE(__aeabi_memmove)
MOVE(__aeabi_memmove4)
MOVE(__aeabi_memmove8)
SET(__aeabi_memset)
SET(__aeabi_memset4)
SET(__aeabi_memset8)
CLEAR(__aeabi_memclr)
CLEAR(__aeabi_memclr4)
CLEAR(__aeabi_memclr8)
