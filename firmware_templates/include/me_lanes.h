/* SPDX-License-Identifier: Apache-2.0
 * Sums of the elements of words, lane by lane, in int32.
 *
 *   me_add4_b(sums, word)   sums[0 .. 3] += the bytes of a word; me_set4_b: = the bytes
 *   me_add2_h(sums, word)   sums[0 .. 1] += the halves of a word; me_set2_h: = the halves
 */
#ifndef ME_LANES_H
#define ME_LANES_H

#include <stdint.h>

#include "me_intrinsics.h"

static inline void me_add4_b(int32_t *sums, uint32_t word)
{
    sums[0] = me_sdotsp_b(sums[0], word, 0x1u);
    sums[1] = me_sdotsp_b(sums[1], word, 0x100u);
    sums[2] = me_sdotsp_b(sums[2], word, 0x10000u);
    sums[3] = me_sdotsp_b(sums[3], word, 0x1000000u);
}

static inline void me_set4_b(int32_t *sums, uint32_t word)
{
    sums[0] = me_dotsp_b(word, 0x1u);
    sums[1] = me_dotsp_b(word, 0x100u);
    sums[2] = me_dotsp_b(word, 0x10000u);
    sums[3] = me_dotsp_b(word, 0x1000000u);
}

static inline void me_set2_h(int32_t *sums, uint32_t word)
{
    sums[0] = me_dotsp_h(word, 0x1u);
    sums[1] = me_dotsp_h(word, 0x10000u);
}

static inline void me_add2_h(int32_t *sums, uint32_t word)
{
    sums[0] = me_sdotsp_h(sums[0], word, 0x1u);
    sums[1] = me_sdotsp_h(sums[1], word, 0x10000u);
}

#endif
