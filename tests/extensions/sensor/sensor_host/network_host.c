/* SPDX-License-Identifier: Apache-2.0
 * A network whose results anybody can compute: result r of a window is the sum of q * (place % 7 + r
 * + 1), modulo 256; a stream's adds what came before. Value v of a gate's output is result v, its sign
 * reversed.
 */
#include "network.h"

#include <stdlib.h>
#include <string.h>

#include "decision.h"
#include "host.h"
#include "sensor_port.h"

#define PASS_US 300

static uint32_t memory, gathered;
static int8_t pass_frames[ME_FRAMES * ME_CHANNELS * ME_WINDOW * sizeof(me_sample)];

static void run_pass(void)
{
    const uint64_t until = now + next_pass_us * US;
    next_pass_us = PASS_US;
    while (now < until)
        advance(until, false);
}

static uint32_t weighted(const me_sample *values, uint32_t result)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < ME_CHANNELS * ME_WINDOW; i++)
        sum += (uint32_t)values[i] * (i % 7 + result + 1);
    return sum;
}

int (*me_ends)(const void *output);

/* -> whether the gate ends the run */
static int is_ended(const me_sample *window, void *const to[])
{
#ifdef ME_WAKES_BY_OUTPUT
    me_wake_value *values = to[1];
    for (uint32_t v = 0; v < ME_WAKE_VALUES; v++)
        values[v] = (me_wake_value) ~(int8_t)weighted(window, v);
    return me_ends && me_ends(values);
#else
    (void)window, (void)to;
    return 0;
#endif
}

int me_port_run(const void *const in[], void *const to[])
{
    me_result *results = to[0];
    if (!passes)
        abort();
    run_pass();
    if (is_ended(in[0], to))
        return 0;
    for (uint32_t frame = 0; frame < ME_FRAMES; frame++) {
        const me_sample *values = (const me_sample *)in[0] + frame * ME_CHANNELS * ME_WINDOW;
        for (uint32_t r = 0; r < ME_RESULTS; r++)
            results[frame * ME_RESULTS + r] = (me_result)(int8_t)(weighted(values, r) + memory);
        memory = ME_FRAMES > 1 ? 3 * memory + weighted(values, 0) : 0;
    }
    return 0;
}

int (*me_pass)(const void *const in[], void *const out[]);

void me_reset(void) { memory = gathered = 0; }

int me_push(const void *const frame[], void *const to[])
{
    const uint32_t bytes = ME_CHANNELS * ME_WINDOW * sizeof(me_sample);
    memcpy(pass_frames + gathered * bytes, frame[0], bytes);
    if (++gathered < ME_FRAMES)
        return 0;
    gathered = 0;
    const void *const in[] = { pass_frames };
    return me_pass(in, to) ? -1 : (int)ME_READY;
}
