/* SPDX-License-Identifier: Apache-2.0 */
#include "dma.h"

#include "cluster.h"
#include "platform.h"

#define DMA_STATUS 4u

#define DIRECTION 17 /* 1: into L1 */
#define INCREMENT (1u << 18)
#define LINES_IN_L2 (1u << 19)
#define RAISE_EVENT (1u << 20)

static uint32_t start(void *l1, void *l2, uint32_t command, me_dma_direction direction)
{
    const uint32_t queue = me_here.dma;
    const uint32_t transfer = ME_REG(queue);
    ME_REG(queue) = command | (uint32_t)direction << DIRECTION | INCREMENT | RAISE_EVENT;
    ME_REG(queue) = (uint32_t)(uintptr_t)l1;
    ME_REG(queue) = (uint32_t)(uintptr_t)l2;
    return transfer;
}

uint32_t me_dma_start(void *l1, void *l2, uint32_t bytes, me_dma_direction direction)
{
    __asm__ volatile("" ::: "memory"); /* the compiler stores the data before the transfer starts */
    return start(l1, l2, bytes, direction);
}

uint32_t me_dma_start_2d(void *l1, void *l2, uint32_t bytes, uint32_t line_bytes, uint32_t stride_bytes,
                         me_dma_direction direction)
{
    __asm__ volatile("" ::: "memory");
    const uint32_t transfer = start(l1, l2, bytes | LINES_IN_L2, direction);
    ME_REG(me_here.dma) = line_bytes;
    ME_REG(me_here.dma) = stride_bytes;
    return transfer;
}

void me_dma_wait(uint32_t transfer) { me_dma_wait_all(1u << transfer); }

void me_dma_wait_all(uint32_t transfers)
{
    const uint32_t status = me_here.dma + DMA_STATUS;
    /* Mask the barrier's event: it would end this wait, and the barrier would then miss it. */
    ME_REG(ME_EVENT_MASK_CLEAR) = ME_EVENT_BARRIER;
    ME_REG(ME_EVENT_MASK_SET) = ME_EVENT_DMA;
    while (ME_REG(status) & transfers)
        if (me_here.dma_events)
            me_event_wait(ME_EVENT_WAIT_CLEAR);
    ME_REG(ME_EVENT_MASK_CLEAR) = ME_EVENT_DMA;
    ME_REG(ME_EVENT_MASK_SET) = ME_EVENT_BARRIER;
    ME_REG(status) = transfers;
    __asm__ volatile("" ::: "memory");
}
