/* SPDX-License-Identifier: Apache-2.0
 * Cycles of reads of MRAM, which this program does not write.
 * rate.bin: clock of the peripherals in Hz, divider of MRAM's clock, then RUNS times the cycles of a read of
 * SMALL and of LARGE bytes.
 */
#include "firmware/cluster.h"
#include "firmware/exit_codes.h"
#include "firmware/host.h"
#include "firmware/platform.h"
#include "firmware/registers.h"

#include "clock.h"
#include "me_mram.h"

enum { SMALL = 16, LARGE = 16384, RUNS = 8 };

#define MRAM_CLOCK 0x1A102B2Cu /* low byte: divider of the peripherals' clock */

static uint8_t read_bytes[LARGE] ME_NOINIT;
static uint32_t words[2 + 2 * RUNS];

/* The content may be anything, with errors that ECC does not correct: nobody may have written it. */
static uint32_t cycles_of(uint32_t bytes)
{
    const uint32_t start = ME_REG(ME_CLUSTER_TIMER_COUNT);
    me_mram.read(0, read_bytes, bytes);
    return ME_REG(ME_CLUSTER_TIMER_COUNT) - start;
}

int main(void)
{
    if (me_mram_open() != ME_OK)
        return ME_EXIT_MRAM;
    words[0] = ME_PERIPH_HZ;
    words[1] = ME_REG(MRAM_CLOCK) & 0xFFu;
    for (uint32_t run = 0; run < RUNS; run++) {
        words[2 + 2 * run] = cycles_of(SMALL);
        words[3 + 2 * run] = cycles_of(LARGE);
        if (words[3 + 2 * run] <= words[2 + 2 * run])
            return ME_EXIT_MRAM;
    }
    const int32_t file = me_open("rate.bin", ME_WRITE);
    me_write(file, words, sizeof words);
    me_close(file);
    return 0;
}
