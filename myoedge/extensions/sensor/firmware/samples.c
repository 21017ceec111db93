/* SPDX-License-Identifier: Apache-2.0 */
#include "samples.h"

#define SLOT(number) ((number) & (ME_RING_SAMPLES - 1))
#define ROW(channel) (ME_COUNT_ROWS == 1 ? 0 : (channel))

static me_sample values[ME_RING_SAMPLES][ME_CHANNELS];
static volatile me_sample_facts kept[ME_RING_SAMPLES];
static volatile uint32_t end, gap_end;

static const int32_t multipliers[ME_COUNT_ROWS] = ME_COUNT_MULTIPLIERS;
static const int64_t offsets[ME_COUNT_ROWS] = ME_COUNT_OFFSETS;

void me_samples_clear(void)
{
    end = gap_end = 0;
    for (uint32_t i = 0; i < ME_RING_SAMPLES; i++)
        kept[i].number = i + 1; /* no sample of this number belongs in slot i */
}

/* q = clamp((count * multiplier + offset) >> ME_COUNT_SHIFT), with |count| <= 2**31, |multiplier| <
 * 2**31 and |offset| < 2**62, so that the sum fits 64 bits. */
static me_sample quantised(int32_t count, uint32_t row)
{
    const int64_t q = ((int64_t)count * multipliers[row] + offsets[row]) >> ME_COUNT_SHIFT;
    if (q < ME_SAMPLE_LOW)
        return ME_SAMPLE_LOW;
    return q > ME_SAMPLE_HIGH ? ME_SAMPLE_HIGH : (me_sample)q;
}

void me_samples_put(const me_sample_facts *facts, const int32_t *counts)
{
    const uint32_t slot = SLOT(facts->number);
    for (uint32_t channel = 0; channel < ME_CHANNELS; channel++)
        values[slot][channel] = quantised(counts[channel], ROW(channel));
    kept[slot] = *facts;
    if (facts->number != end)
        gap_end = facts->number;
    end = facts->number + 1;
}

bool me_samples_withdraw(uint32_t number)
{
    if (kept[SLOT(number)].number != number)
        return false;
    kept[SLOT(number)].number = number + 1;
    gap_end = number + 1;
    return true;
}

uint32_t me_samples_end(void) { return end; }

uint32_t me_samples_gap_end(void) { return gap_end; }

/* Stores a sample's channels in rows of ME_INNER; the rows of a channel group are contiguous over the
 * samples. */
static void place(const me_sample *from, me_sample *to, uint32_t at)
{
    for (uint32_t outer = 0; outer < ME_OUTER; outer++)
        for (uint32_t inner = 0; inner < ME_INNER; inner++)
            to[(outer * ME_WINDOW + at) * ME_INNER + inner] = *from++;
}

uint32_t me_samples_copy(uint32_t first, me_sample *to, me_sample_facts *facts)
{
    uint32_t missing = 0, flags = 0;
    for (uint32_t at = 0; at < ME_WINDOW; at++) {
        place(values[SLOT(first + at)], to, at);
        flags |= kept[SLOT(first + at)].flags;
    }
    *facts = kept[SLOT(first + ME_WINDOW - 1)];
    facts->flags = flags;
    /* checked after the copy: an interrupt may have overwritten a slot during it */
    for (uint32_t at = 0; at < ME_WINDOW; at++)
        if (kept[SLOT(first + at)].number != first + at)
            missing = at + 1;
    return missing;
}
