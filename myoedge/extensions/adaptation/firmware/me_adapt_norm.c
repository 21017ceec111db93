/* SPDX-License-Identifier: Apache-2.0
 * Maps mean and deviation of each input channel to those of the calibration samples; norm.py has the
 * formulas. norm_sums: the sum of each channel, then the sum of squares of each channel; norm: the mean of
 * each channel, then the gain of each channel.
 */
#include "me_adapt_state.h"

#define GAIN_POINT 10
#define MOST_GAIN (8 << GAIN_POINT)

static int32_t number_at(const void *input, int32_t i)
{
    return me_adapt_of.wide ? ((const int16_t *)input)[i] : ((const int8_t *)input)[i];
}

static void put_at(void *input, int32_t i, int32_t number)
{
    if (me_adapt_of.wide)
        ((int16_t *)input)[i] = (int16_t)number;
    else
        ((int8_t *)input)[i] = (int8_t)number;
}

void me_adapt_norm_begin(void)
{
    me_adapt.norm_count = 0;
    for (int32_t i = 0; i < 2 * me_adapt_of.channels; i++)
        me_adapt_of.norm_sums[i] = 0;
}

/* Sums of 2**15 windows fit int64: at most 2**59. */
void me_adapt_norm_add(void)
{
    const int32_t channels = me_adapt_of.channels, inner = me_adapt_of.inner;
    int64_t *sums = me_adapt_of.norm_sums;
    for (int32_t at = 0, channel = 0; at < me_adapt_of.elements; at += inner) {
        int64_t sum = 0, squares = 0;
        for (int32_t i = at; i < at + inner; i++) {
            const int32_t x = number_at(me_adapt_of.raw_input, i) - me_adapt_of.input_zero_point;
            sum += x;
            squares += (int64_t)x * x;
        }
        sums[channel] += sum;
        sums[channels + channel] += squares;
        channel = channel + 1 == channels ? 0 : channel + 1;
    }
    me_adapt.norm_count += (uint32_t)(me_adapt_of.elements / channels);
}

void me_adapt_norm_fit(void)
{
    const int32_t channels = me_adapt_of.channels, point = me_adapt_of.point;
    const uint32_t count = me_adapt.norm_count;
    for (int32_t channel = 0; channel < channels; channel++) {
        const int64_t *sums = me_adapt_of.norm_sums + channel;
        const int64_t mean = me_adapt_divide(sums[0] * (1 << point), count);
        const int64_t square = me_adapt_divide(sums[channels] * (1 << 2 * point), count);
        const int64_t variance = square - mean * mean;
        const uint32_t deviation = me_adapt_root(variance > 1 ? (uint64_t)variance : 1u);
        const uint32_t gain = ((uint32_t)me_adapt_of.deviations[channel] << GAIN_POINT) / deviation;
        me_adapt_of.norm[channel] = (int32_t)mean;
        me_adapt_of.norm[channels + channel] = gain < MOST_GAIN ? (int32_t)gain : MOST_GAIN;
    }
    me_adapt.normed = 1;
}

/* x - mean has 17 bits and a sign, a gain at most 14 bits: products fit int32. */
static int32_t normalise(int32_t x, int32_t channel)
{
    const int32_t zero = me_adapt_of.input_zero_point, point = me_adapt_of.point;
    const int32_t shift = GAIN_POINT + point, most = me_adapt_of.wide ? INT16_MAX : INT8_MAX;
    const int32_t from_mean = (x - zero) * (1 << point) - me_adapt_of.norm[channel];
    const int32_t wanted = me_adapt_of.channel_means[channel] * (1 << GAIN_POINT) + (1 << (shift - 1));
    const int32_t y =
        ((from_mean * me_adapt_of.norm[me_adapt_of.channels + channel] + wanted) >> shift) + zero;
    return y < -most - 1 ? -most - 1 : y > most ? most : y;
}

/* Normalises this core's rows of `inner` values; a row belongs to one channel. */
void me_adapt_norm_rows(const void *input, int32_t first, int32_t last)
{
    const int32_t inner = me_adapt_of.inner, channels = me_adapt_of.channels;
    for (int32_t row = first, channel = first % channels; row < last; row++) {
        for (int32_t i = row * inner; i < (row + 1) * inner; i++) {
            const int32_t x = number_at(input, i);
            put_at(me_adapt_of.raw_input, i, x);
            if (me_adapt.normed)
                put_at(me_adapt_of.normed_input, i, normalise(x, channel));
        }
        channel = channel + 1 == channels ? 0 : channel + 1;
    }
}

int32_t me_adapt_norm_acts(void) { return me_adapt.normed || me_adapt.method == ME_ADAPT_NORM; }

const void *me_adapt_norm_input(const void *input)
{
    return me_adapt.normed ? me_adapt_of.normed_input : input;
}
