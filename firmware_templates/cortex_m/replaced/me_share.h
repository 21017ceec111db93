/* SPDX-License-Identifier: Apache-2.0
 * How a layer's work is shared: the only core does all of it, in one part.
 */
#ifndef ME_SHARE_H
#define ME_SHARE_H

#include <stdint.h>

#define ME_NOINIT
#define ME_L1
#define ME_FIRST(n) 0
#define ME_LAST(n) (n)
#define ME_MOST_OF(n) (n)
#define ME_FIRST_OF_7(n) 0
#define ME_LAST_OF_7(n) (n)
#define ME_CORE() 0
#define ME_OWN(n) (n)
#define ME_SYNC() ((void)0)
#define ME_IS_CONTROL_CORE() 0
#define ME_READY() ((void)0)
#define ME_KERNEL_CORES(nine_cores) 1
#define ME_FIRST_OF(cores, n) ((void)(cores), 0)
#define ME_LAST_OF(cores, n) ((void)(cores), (n))
#define ME_FIRST_PART(cores) ((void)(cores), 0)
#define ME_END_PART(cores) (cores)
#define ME_SYNC_OF(cores) ((void)(cores))

/* First of n items of part `part` of `parts`. */
static inline int32_t me_share_of(int32_t parts, int32_t part, int32_t n)
{
    return (int32_t)((uint32_t)part * (uint32_t)n / (uint32_t)parts);
}

static inline void me_copy(void *restrict to, const void *restrict from, int32_t bytes)
{
    int8_t *target = to;
    const int8_t *source = from;
    for (int32_t i = 0; i < bytes; i++)
        target[i] = source[i];
}

#endif
