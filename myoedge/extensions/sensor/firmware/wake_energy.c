/* SPDX-License-Identifier: Apache-2.0 */
#include "wake.h"

static const uint64_t limit = ME_WAKE_LIMIT;

/* samples * sum(q * q) - sum(q) ** 2 of a channel. With |q| < 2**16 a square fits 32 bits. The build checks
 * that samples * |q| < 2**31 and channels * (samples * |q|) ** 2 < 2**63. */
static uint64_t energy_of(const me_sample *from)
{
    int32_t sum = 0;
    ME_WAKE_SQUARES squares = 0;
    for (uint32_t at = 0; at < ME_WINDOW; at++) {
        const int32_t q = from[at * ME_INNER];
        sum += q;
        squares += (uint32_t)q * (uint32_t)q;
    }
    return (uint64_t)ME_WINDOW * squares - (uint64_t)((int64_t)sum * sum);
}

bool me_wake_is_above(const me_sample *window)
{
    uint64_t energy = 0;
    for (uint32_t outer = 0; outer < ME_OUTER; outer++)
        for (uint32_t inner = 0; inner < ME_INNER; inner++)
            energy += energy_of(window + outer * ME_WINDOW * ME_INNER + inner);
    return energy >= limit;
}
