/* SPDX-License-Identifier: Apache-2.0 */
#include "wake.h"

static const uint64_t limit = ME_WAKE_LIMIT;
static uint32_t left; /* windows that run although they are below the limit */
static bool rests;

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

static bool is_above(const me_sample *window)
{
    uint64_t energy = 0;
    for (uint32_t outer = 0; outer < ME_OUTER; outer++)
        for (uint32_t inner = 0; inner < ME_INNER; inner++)
            energy += energy_of(window + outer * ME_WINDOW * ME_INNER + inner);
    return energy >= limit;
}

void me_wake_restart(void)
{
    left = ME_WAKE_HOLD;
    rests = false;
}

bool me_wake_window(const me_sample *window)
{
    const bool above = is_above(window);
    rests = !above && left == 0;
    if (above)
        left = ME_WAKE_HOLD;
    else if (left > 0)
        left--;
    return !rests;
}

bool me_wake_rests(void) { return rests; }
