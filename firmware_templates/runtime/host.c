/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

enum { OPEN = 1, CLOSE = 2, PRINT = 4, WRITE = 5, READ = 6 };

int32_t me_semihost(int32_t operation, const void *argument); /* defined in crt0.S */

static uint32_t address(const void *pointer) { return (uint32_t)(uintptr_t)pointer; }

int32_t me_open(const char *file, me_mode mode)
{
    uint32_t length = 0;
    while (file[length] != '\0')
        length++;
    const uint32_t block[3] = { address(file), (uint32_t)mode, length };
    return me_semihost(OPEN, block);
}

/* The host returns the number of bytes that were not transferred, or -1. */
static uint32_t transferred(int32_t operation, int32_t handle, const void *memory, uint32_t bytes)
{
    const uint32_t block[3] = { (uint32_t)handle, address(memory), bytes };
    const uint32_t left = (uint32_t)me_semihost(operation, block);
    return left > bytes ? 0 : bytes - left;
}

uint32_t me_read(int32_t handle, void *to, uint32_t bytes) { return transferred(READ, handle, to, bytes); }

uint32_t me_write(int32_t handle, const void *from, uint32_t bytes)
{
    return transferred(WRITE, handle, from, bytes);
}

void me_close(int32_t handle)
{
    const uint32_t block[1] = { (uint32_t)handle };
    me_semihost(CLOSE, block);
}

void me_print(const char *text) { me_semihost(PRINT, text); }

void me_print_number(int32_t number)
{
    char text[12];
    char *at = text + sizeof text - 1;
    uint32_t left = number < 0 ? 0u - (uint32_t)number : (uint32_t)number;
    *at = '\0';
    do {
        *--at = (char)('0' + left % 10u);
        left /= 10u;
    } while (left > 0);
    if (number < 0)
        *--at = '-';
    me_print(at);
}
