/* SPDX-License-Identifier: Apache-2.0 */
/* mram.bin into the weights' partition, and pieces of it back while L3 moves bytes too; 0 if every byte is right.
 * times.bin: cycles of 8 KiB from L3, from the flash, and from both at once, until core 8 knows; of 16 bytes and of
 * 8 KiB of the flash until the last byte is there; whether a read had an error; cycles of 48 queued reads of 400
 * bytes, and from the end of loading to the end.
 * With -DIMAGE_CRC the partition is not written: 0 if it holds that image, 108 if it is known not to. */
#include "firmware/cluster.h"
#include "firmware/exit_codes.h"
#include "firmware/host.h"
#include "firmware/l3.h"
#include "firmware/mram.h"
#include "firmware/platform.h"
#include "library/me_weights.h"
#include "me_mram.h"
#include "mram_map.h"

#define IMAGE 20000u
#define PIECE 400u
#define PIECES 48u /* more than may be in flight */
#define BLOCK 8192u

static uint8_t far[BLOCK] ME_NOINIT, a[BLOCK] ME_NOINIT, b[PIECES * PIECE] ME_NOINIT;
static volatile int32_t wrong ME_L1;
static uint32_t times[8];

static uint8_t pattern(uint32_t i) { return (uint8_t)(i * 41u + (i >> 8) * 3u + 1u); }

static void check(bool holds)
{
    if (!holds)
        wrong = wrong + 1;
}

static uint32_t now(void) { return ME_REG(ME_CLUSTER_TIMER_COUNT); }

static uint32_t alone_or_both(bool l3, bool mram)
{
    uint32_t far_ticket = 0, near_ticket = 0;
    const uint32_t start = now();
    if (l3)
        far_ticket = me_l3_start(0, a, BLOCK, ME_L3_TO_L2);
    if (mram)
        near_ticket = me_mram_start(0, b, BLOCK);
    if (mram)
        me_mram_wait(near_ticket);
    if (l3)
        me_l3_wait(far_ticket);
    return now() - start;
}

static void pieces(void)
{
    uint32_t ticket = 0;
    const uint32_t start = now();
    for (uint32_t i = 0; i < PIECES; i++)
        ticket = me_mram_start((PIECES - 1 - i) * PIECE, b + i * PIECE, PIECE);
    me_mram_wait(ticket);
    times[6] = now() - start;
    for (uint32_t i = 0; i < PIECES * PIECE; i++)
        check(b[i] == pattern((PIECES - 1 - i / PIECE) * PIECE + i % PIECE));
}

static void work(int32_t core, void *unused)
{
    (void)unused;
    if (core == ME_CONTROL_CORE) {
        times[0] = alone_or_both(true, false);
        times[1] = alone_or_both(false, true);
        for (uint32_t i = 0; i < BLOCK; i++)
            check(b[i] == pattern(i) && a[i] == (uint8_t)i);
        times[2] = alone_or_both(true, true);
        pieces();
    }
    me_barrier_all();
}

static uint32_t until_last_byte(uint32_t bytes)
{
    volatile uint8_t *last = &b[bytes - 1];
    *last = (uint8_t)~pattern(bytes - 1);
    const uint32_t start = now();
    me_mram_begin_read(ME_MRAM_WEIGHTS_AT + 64u, (uint32_t)(uintptr_t)b, bytes);
    while (*last != pattern(bytes - 1))
        ;
    const uint32_t took = now() - start;
    while (!me_mram_has_read())
        me_mram_take_events();
    return took;
}

int main(void)
{
    wrong = 0;
    for (uint32_t i = 0; i < BLOCK; i++)
        far[i] = (uint8_t)i;
#ifdef IMAGE_CRC
    me_mram_forget();
    if (me_mram_open() != ME_OK || me_weights_find(&me_mram, ME_MRAM_WEIGHTS_AT, IMAGE, IMAGE_CRC) != ME_OK)
        return ME_EXIT_MRAM;
#else
    if (!me_mram_load("mram.bin", IMAGE))
        return ME_EXIT_MRAM;
#endif
    const uint32_t loaded = now();
    me_l3_store(0, far, BLOCK);
    me_cluster_run(work, 0);
    times[3] = until_last_byte(16);
    times[4] = until_last_byte(BLOCK);
    times[5] = (uint32_t)-me_mram_result();
    times[7] = now() - loaded;
    const int32_t file = me_open("times.bin", ME_WRITE);
    me_write(file, times, sizeof times);
    me_close(file);
    return wrong > 100 ? 100 : wrong;
}
