/* Transfers between L2 and L1, one and two dimensions, several at a time; 0 if every byte is right
 * and none beside them has changed. */
#include "firmware/cluster.h"
#include "firmware/dma.h"
#include "firmware/platform.h"

#define BYTES 4096
#define LINE 48
#define STRIDE 64
#define GUARD 0x5A

static uint8_t l2[BYTES] ME_NOINIT, back[BYTES] ME_NOINIT;
static uint8_t l1[BYTES + 8] ME_L1;
static volatile int32_t wrong ME_L1;

static uint8_t pattern(uint32_t i) { return (uint8_t)(i * 37u + (i >> 8)); }

static void check(bool holds)
{
    if (!holds)
        wrong = wrong + 1;
}

static void clear(void)
{
    for (uint32_t i = 0; i < BYTES; i++) {
        l2[i] = pattern(i);
        back[i] = GUARD;
    }
    for (uint32_t i = 0; i < sizeof l1; i++)
        l1[i] = GUARD;
}

static void lines(uint32_t bytes, uint32_t l1_offset, uint32_t l2_offset)
{
    clear();
    me_dma_wait(me_dma_start(l1 + l1_offset, l2 + l2_offset, bytes, ME_L2_TO_L1));
    for (uint32_t i = 0; i < bytes; i++)
        check(l1[l1_offset + i] == pattern(l2_offset + i));
    check(l1[l1_offset + bytes] == GUARD && (l1_offset == 0 || l1[l1_offset - 1] == GUARD));
    me_dma_wait(me_dma_start(l1 + l1_offset, back + l2_offset, bytes, ME_L1_TO_L2));
    for (uint32_t i = 0; i < BYTES; i++)
        check(back[i] == (i - l2_offset < bytes ? pattern(i) : GUARD));
}

static void rectangle(void)
{
    clear();
    const uint32_t rows = BYTES / STRIDE;
    me_dma_wait(me_dma_start_2d(l1, l2, rows * LINE, LINE, STRIDE, ME_L2_TO_L1));
    for (uint32_t i = 0; i < rows * LINE; i++)
        check(l1[i] == pattern(i / LINE * STRIDE + i % LINE));
    check(l1[rows * LINE] == GUARD);
    me_dma_wait(me_dma_start_2d(l1, back, rows * LINE, LINE, STRIDE, ME_L1_TO_L2));
    for (uint32_t i = 0; i < BYTES; i++)
        check(back[i] == (i % STRIDE < LINE ? pattern(i) : GUARD));
}

static void several(void)
{
    clear();
    uint32_t transfers[4];
    for (uint32_t i = 0; i < 4; i++)
        transfers[i] = me_dma_start(l1 + i * 1024, l2 + (3 - i) * 1024, 1024, ME_L2_TO_L1);
    for (uint32_t i = 4; i-- > 0;)
        me_dma_wait(transfers[i]);
    for (uint32_t i = 0; i < BYTES; i++)
        check(l1[i] == pattern((3 - i / 1024) * 1024 + i % 1024));
}

/* A barrier after it shows that a wait for the DMA leaves the barrier's event in place. */
static void work(int32_t core, void *unused)
{
    (void)unused;
    if (core == ME_CONTROL_CORE) {
        wrong = 0;
        lines(4, 0, 0);
        lines(1000, 0, 0);
        lines(1003, 3, 1);
        lines(4093, 4, 2);
        rectangle();
        several();
    }
    me_barrier_all();
    if (core == 0)
        check(l1[0] == pattern(3 * 1024));
}

int main(void)
{
    me_cluster_run(work, 0);
    return wrong > 100 ? 100 : wrong;
}
