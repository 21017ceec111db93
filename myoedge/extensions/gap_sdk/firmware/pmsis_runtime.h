/* SPDX-License-Identifier: Apache-2.0
 * The runtime of a network, implemented with PMSIS: the functions of firmware/cluster.h, dma.h, l3.h and
 * marks.h with the same meaning. Cores 0 .. 7 compute; core 8 controls the run, transfers data and helps to
 * compute.
 */
#ifndef ME_PMSIS_RUNTIME_H
#define ME_PMSIS_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "pmsis.h"

#define ME_L1 PI_L1
#define ME_NOINIT PI_L2

/* ---- the team */

#define ME_WORKERS 8
#define ME_CONTROL_CORE 8
#define ME_CORES 9

extern PI_L1 uint32_t me_workers_barrier; /* barrier of cores 0 .. 7 */

/* Runs `work` on all nine cores. Called by core 8, on which cluster tasks start. */
void me_team_run(void (*work)(void *argument), void *argument);

static inline int32_t me_core(void) { return (int32_t)pi_core_id(); }

static inline void me_barrier_all(void) { pi_cl_team_barrier(); }

static inline void me_barrier_workers(void) { pi_cl_team_barrier_wait(me_workers_barrier); }

/* First of n items of core 0 .. 7; `core + 1` gives the end of its share; n < 2**28. */
static inline int32_t me_share(int32_t core, int32_t n)
{
    return (int32_t)((uint32_t)core * (uint32_t)n / ME_WORKERS);
}

/* ---- L2 and L1; at most 16 transfers in flight */

typedef enum { ME_L1_TO_L2 = 0, ME_L2_TO_L1 = 1 } me_dma_direction;

uint32_t me_dma_start(void *l1, void *l2, uint32_t bytes, me_dma_direction direction);
uint32_t me_dma_start_2d(void *l1, void *l2, uint32_t bytes, uint32_t line_bytes, uint32_t stride_bytes,
                         me_dma_direction direction);
void me_dma_wait_all(uint32_t transfers);

/* ---- L3: addresses are offsets from me_l3_base, never pointers */

#define ME_L3_IN_FLIGHT 16u

typedef enum { ME_L2_TO_L3 = 0, ME_L3_TO_L2 = 1 } me_l3_direction;

extern struct pi_device me_ram;
extern uint32_t me_l3_base;

uint32_t me_l3_start(uint32_t l3, void *l2, uint32_t bytes, me_l3_direction direction);
bool me_l3_full(void);
void me_l3_wait(uint32_t ticket);

/* Copies bytes from L2 to L3, or back, and returns when done. Fabric controller only. */
void me_l3_store(uint32_t l3, void *l2, uint32_t bytes);
void me_l3_fetch(uint32_t l3, void *l2, uint32_t bytes);

/* ---- weights in MRAM, with ME_MRAM_WEIGHTS: offsets in the file mram.bin of its read-only file system */

#define ME_MRAM_IN_FLIGHT 16u

#ifdef ME_MRAM_WEIGHTS
#include "bsp/fs.h"
extern pi_fs_file_t *me_mram_file;
#endif

uint32_t me_mram_start(uint32_t mram, void *l2, uint32_t bytes);
bool me_mram_full(void);
void me_mram_wait(uint32_t ticket);

/* Returns ME_OK, or ME_DAMAGED if MRAM reported an error during a run that ECC does not correct. */
int32_t me_mram_result(void);

/* ---- end times of layers, in cycles of the cluster */

extern volatile uint32_t me_marks[];

void me_mark(int32_t layer);

#endif
