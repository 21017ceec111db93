/* SPDX-License-Identifier: Apache-2.0
 * Division of a layer's work. On a host one core does all of it; on the cluster (-DME_GAP9) eight cores run
 * every layer at once, each on its items from ME_FIRST(n) to ME_LAST(n) - 1.
 */
#ifndef ME_SHARE_H
#define ME_SHARE_H

#include <stdint.h>

#ifdef ME_GAP9
#include "me_runtime.h"
#define ME_FIRST(n) me_share(me_core(), (n))
#define ME_LAST(n) me_share(me_core() + 1, (n))
#define ME_MOST_OF(n) (((n) + ME_WORKERS - 1) / ME_WORKERS) /* items of the largest share */
#define ME_FIRST_OF_7(n) me_share_of_7(me_core(), (n)) /* core 0 has an empty share */
#define ME_LAST_OF_7(n) me_share_of_7(me_core() + 1, (n))
/* Items of cores 1 .. 7 in turn: the first one of this core, and how far the next is; core 0 has none of n */
#define ME_FIRST_TURN_OF_7(n) (me_core() > 0 ? me_core() - 1 : (n))
#define ME_NEXT_TURN_OF_7 7
#define ME_CORE() me_core() /* 0 .. 7 */
#define ME_OWN(n) me_own_share(n) /* items per core; the last core may have fewer */
#define ME_SYNC() me_barrier_workers() /* makes data that one core wrote visible to the others */
#define ME_IS_CONTROL_CORE() (me_core() == ME_CONTROL_CORE) /* core 8 */
/* waits for core 8's transfers; core 8 passes this barrier before it calls the kernel */
#define ME_READY() (ME_IS_CONTROL_CORE() ? (void)0 : me_barrier_all())
/* Divides work among 8 cores, or among 9 if the control core computes too. */
#define ME_KERNEL_CORES(nine_cores) (ME_WORKERS + (nine_cores))
#define ME_FIRST_OF(cores, n) me_share_of((cores), me_core(), (n))
#define ME_LAST_OF(cores, n) me_share_of((cores), me_core() + 1, (n))
#define ME_FIRST_PART(cores) ((void)(cores), me_core()) /* one part per core */
#define ME_END_PART(cores) ((void)(cores), me_core() + 1)
#define ME_SYNC_OF(cores) ((cores) == ME_CORES ? me_barrier_all() : me_barrier_workers())
#else
#define ME_NOINIT
#define ME_L1
#define ME_FIRST(n) 0
#define ME_LAST(n) (n)
#define ME_MOST_OF(n) (n)
#define ME_FIRST_OF_7(n) 0
#define ME_LAST_OF_7(n) (n)
#define ME_FIRST_TURN_OF_7(n) 0
#define ME_NEXT_TURN_OF_7 1
#define ME_CORE() 0
#define ME_OWN(n) (n)
#define ME_SYNC() ((void)0)
#define ME_IS_CONTROL_CORE() 0
#define ME_READY() ((void)0)
#define ME_KERNEL_CORES(nine_cores) (8 + (nine_cores))
#define ME_FIRST_OF(cores, n) ((void)(cores), 0)
#define ME_LAST_OF(cores, n) ((void)(cores), (n))
#define ME_FIRST_PART(cores) ((void)(cores), 0)
#define ME_END_PART(cores) (cores)
#define ME_SYNC_OF(cores) ((void)(cores))
#endif

#ifdef ME_GAP9
/* This core's eighth of n items, rounded to a multiple of 4 but not of 16, so that cores that walk through
 * their shares in step access different banks. */
static inline int32_t me_own_share(int32_t n)
{
    const uint32_t fours = ((uint32_t)n + 4 * ME_WORKERS - 1) / (4 * ME_WORKERS);
    return (int32_t)(4 * (fours + (fours % 4 == 0)));
}
#endif

/* First of n items for a core. For 8 or 9 cores it needs no division, which takes up to 35 cycles. */
static inline int32_t me_share_of(int32_t cores, int32_t core, int32_t n)
{
    const uint32_t all = (uint32_t)core * (uint32_t)n;
    return (int32_t)(cores == 8 ? all / 8 : all / 9);
}

/* The same for cores 1 .. 7 only. */
static inline int32_t me_share_of_7(int32_t core, int32_t n)
{
    return (int32_t)((uint32_t)(core > 0 ? core - 1 : 0) * (uint32_t)n / 7);
}

static inline void me_copy(void *restrict to, const void *restrict from, int32_t bytes)
{
    int8_t *target = to;
    const int8_t *source = from;
    for (int32_t i = ME_FIRST(bytes); i < ME_LAST(bytes); i++)
        target[i] = source[i];
}

#endif
