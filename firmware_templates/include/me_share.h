/* SPDX-License-Identifier: Apache-2.0
 * How a layer's work is shared. On a host one core does all of it; on the cluster (-DME_GAP9) eight
 * cores run every layer at once, each from its first to before its last of n.
 */
#ifndef ME_SHARE_H
#define ME_SHARE_H

#include <stdint.h>

#ifdef ME_GAP9
#include "me_runtime.h"
#define ME_FIRST(n) me_share(me_core(), (n))
#define ME_LAST(n) me_share(me_core() + 1, (n))
#define ME_CORE() me_core() /* 0 .. 7 */
#define ME_SYNC() me_barrier_workers() /* what one core wrote, others read after it */
#define ME_READY() me_barrier_all() /* what core 8 waited for is there */
#else
#define ME_NOINIT
#define ME_L1
#define ME_FIRST(n) 0
#define ME_LAST(n) (n)
#define ME_CORE() 0
#define ME_SYNC() ((void)0)
#define ME_READY() ((void)0)
#endif

static inline void me_copy(void *restrict to, const void *restrict from, int32_t bytes)
{
    int8_t *target = to;
    const int8_t *source = from;
    for (int32_t i = ME_FIRST(bytes); i < ME_LAST(bytes); i++)
        target[i] = source[i];
}

#endif
