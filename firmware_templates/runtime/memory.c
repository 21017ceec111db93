/* SPDX-License-Identifier: Apache-2.0
 * Functions that compilers call implicitly, such as memcpy.
 */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

/* Prevents the compiler from replacing these loops by calls of the functions that they implement. */
#define STAY_A_LOOP() __asm__ volatile("")

typedef uint32_t __attribute__((may_alias)) word;

/* Number of bytes up to the last word if both addresses are multiples of 4; the rest starts there. */
static size_t words_of(const void *to, const void *from, size_t bytes)
{
    return ((uintptr_t)to | (uintptr_t)from) % sizeof(word) ? 0 : bytes / sizeof(word) * sizeof(word);
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    uint8_t *target = to;
    const uint8_t *source = from;
    size_t i = 0;
    for (const size_t words = words_of(to, from, bytes); i < words; i += sizeof(word)) {
        *(word *)(void *)(target + i) = *(const word *)(const void *)(source + i);
        STAY_A_LOOP();
    }
    for (; i < bytes; i++) {
        target[i] = source[i];
        STAY_A_LOOP();
    }
    return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
    uint8_t *target = to;
    const uint8_t *source = from;
    if (target <= source)
        return memcpy(to, from, bytes);
    while (bytes-- > 0) {
        target[bytes] = source[bytes];
        STAY_A_LOOP();
    }
    return to;
}

void *memset(void *to, int value, size_t bytes)
{
    uint8_t *target = to;
    const word four = (uint8_t)value * 0x01010101u;
    size_t i = 0;
    for (const size_t words = words_of(to, to, bytes); i < words; i += sizeof(word)) {
        *(word *)(void *)(target + i) = four;
        STAY_A_LOOP();
    }
    for (; i < bytes; i++) {
        target[i] = (uint8_t)value;
        STAY_A_LOOP();
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
    const uint8_t *left = a, *right = b;
    for (size_t i = 0; i < bytes; i++) {
        if (left[i] != right[i])
            return left[i] - right[i];
        STAY_A_LOOP();
    }
    return 0;
}
