/* SPDX-License-Identifier: Apache-2.0
 * A gate by an output of the network. The cluster compares it in the middle of a run; meanwhile the controller
 * reads and writes nothing of the gate.
 */
#include "wake.h"

#include "network.h"

static volatile bool is_above;

/* The only value, or the largest of the others less that of rest. */
static int32_t value_of(const me_wake_value *values)
{
#if ME_WAKE_VALUES == 1
    return values[0];
#else
    int32_t largest = INT32_MIN;
    for (int32_t i = 0; i < ME_WAKE_VALUES; i++)
        if (i != ME_WAKE_REST_VALUE && values[i] > largest)
            largest = values[i];
    return largest - values[ME_WAKE_REST_VALUE];
#endif
}

static int ends(const void *output)
{
    is_above = value_of(output) >= ME_WAKE_LIMIT;
    return !me_wake_needs(is_above);
}

void me_wake_open(void) { me_ends = ends; }

bool me_wake_was_above(void) { return is_above; }
