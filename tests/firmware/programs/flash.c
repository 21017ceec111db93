/* SPDX-License-Identifier: Apache-2.0 */
/* The flash by its driver: erases a block, programs it over the end of a row, reads it back. */
#include "me_mram.h"

#define BYTES 4000u
#define AT 0x2100u

static _Alignas(4) uint8_t sent[BYTES], found[BYTES];

int main(void)
{
    if (me_mram_open() != 0)
        return 1;
    for (uint32_t i = 0; i < BYTES; i++)
        sent[i] = (uint8_t)(i * 7u + (i >> 8));
    if (me_mram.erase(0x2000) != 0 || me_mram.program(AT, sent, BYTES) != 0)
        return 2;
    if (me_mram.read(AT, found, BYTES) != 0)
        return 3;
    for (uint32_t i = 0; i < BYTES; i++)
        if (found[i] != sent[i])
            return 4;
    return 42;
}
