/* SPDX-License-Identifier: Apache-2.0
 * The cluster's DMA (mchan) between L2 and L1. At most 16 transfers may be in flight; each has an id that
 * must be awaited.
 */
#ifndef ME_DMA_H
#define ME_DMA_H

#include <stdint.h>

typedef enum { ME_L1_TO_L2 = 0, ME_L2_TO_L1 = 1 } me_dma_direction;

/* Starts a transfer of at most 2**17 - 1 bytes, at any address. -> id of the transfer. Cluster cores only. */
uint32_t me_dma_start(void *l1, void *l2, uint32_t bytes, me_dma_direction direction);

/* Starts a strided transfer: lines of line_bytes, contiguous in L1, stride_bytes apart in L2; `bytes` in
 * total. */
uint32_t me_dma_start_2d(void *l1, void *l2, uint32_t bytes, uint32_t line_bytes, uint32_t stride_bytes,
                         me_dma_direction direction);

/* Sleeps until a transfer has ended, and frees its id. Called by the core that started it. */
void me_dma_wait(uint32_t transfer);

/* The same for several transfers: bit n stands for the transfer with id n. */
void me_dma_wait_all(uint32_t transfers);

#endif
