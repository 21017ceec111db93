/* SPDX-License-Identifier: Apache-2.0 */
#include "wake.h"

static uint32_t left; /* windows that run although they are below the limit */
static bool rests;

void me_wake_restart(void)
{
    left = ME_WAKE_HOLD;
    rests = false;
}

bool me_wake_needs(bool above) { return above || left > 0; }

void me_wake_take(bool above)
{
    rests = !me_wake_needs(above);
    if (above)
        left = ME_WAKE_HOLD;
    else if (left > 0)
        left--;
}

bool me_wake_rests(void) { return rests; }
