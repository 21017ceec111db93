/* SPDX-License-Identifier: Apache-2.0 */
#include "mlperf_values.h"

#include "mlperf_network.h"

uint64_t me_divided(uint64_t value, uint32_t by)
{
    uint64_t quotient = 0, rest = 0;
    for (uint32_t bit = 64; bit-- > 0;) {
        rest = rest << 1 | (value >> bit & 1u);
        if (rest >= by) {
            rest -= by;
            quotient |= (uint64_t)1 << bit;
        }
    }
    return quotient;
}

/* -> the index in the input of value i of the file; axes are in the order from the last one to the first */
static uint32_t place_of(uint32_t i)
{
    uint32_t place = 0;
    for (uint32_t axis = ME_AXES; axis-- > 0; i /= me_file_axes[axis].count)
        place += i % me_file_axes[axis].count * me_file_axes[axis].stride;
    return place;
}

#if ME_FILE_VALUE_BYTES == 4
static uint32_t word_of(const uint8_t *file, uint32_t i)
{
    const uint8_t *bytes = file + 4 * i;
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* -> the number of limits that are <= the float. Floats compare like integers once the bits of negative
 * ones are inverted. Limits ascend. */
static me_input_integer integer_of(const uint8_t *file, uint32_t i, const uint32_t *limits)
{
    const uint32_t bits = word_of(file, i), sign = 0x80000000u;
    const uint32_t key = bits & sign ? ~bits : bits | sign;
    uint32_t reached = 0, end = ME_LIMITS;
    while (reached < end) {
        const uint32_t middle = (reached + end) / 2;
        if (limits[middle] <= key)
            reached = middle + 1;
        else
            end = middle;
    }
    return (me_input_integer)(ME_LOWEST + (int32_t)reached);
}
#else
/* -> the integer for a byte of the file */
static me_input_integer integer_of(const uint8_t *file, uint32_t i, const me_input_integer *integers)
{
    return integers[file[i]];
}
#endif

void me_take_values(const uint8_t *file)
{
    for (uint32_t i = 0; i < ME_FILE_VALUES; i++) {
        const uint32_t channel = i / ME_CHANNEL_STEP % ME_CHANNELS;
        me_input0[place_of(i)] = integer_of(file, i, me_channels[channel]);
    }
}

/* multiplier / 2**shift * (q - zero_point), rounded to nearest, halves up. */
static int64_t scaled(me_scale by, int32_t q)
{
    const int64_t product = (int64_t)(q - by.zero_point) * by.multiplier;
    return (product + ((int64_t)1 << (by.shift - 1))) >> by.shift;
}

#if ME_RECONSTRUCTS
#if ME_FILE_VALUE_BYTES == 4
/* The float in units of 2**-ME_FRACTION, halves rounded away from zero, saturated to +-2**ME_RANGE. */
static int64_t real_of(const uint8_t *file, uint32_t i)
{
    const uint32_t bits = word_of(file, i);
    const int32_t exponent = (int32_t)(bits >> 23 & 0xFFu) - 127;
    const int64_t digits = (bits & 0x7FFFFFu) | 0x800000u;
    const int32_t up = exponent - 23 + ME_FRACTION;
    int64_t size = 0;
    if (exponent >= ME_RANGE)
        size = (int64_t)1 << (ME_RANGE + ME_FRACTION);
    else if (up >= 0)
        size = digits << up;
    else if (up >= -24)
        size = (digits + ((int64_t)1 << (-up - 1))) >> -up;
    return bits >> 31 ? -size : size;
}
#else
static int64_t real_of(const uint8_t *file, uint32_t i)
{
    return scaled(me_file_real, (me_file_value)file[i]);
}
#endif

/* The sum of squares fits in 64 bits: ME_FRACTION was chosen for that. The mean is rounded down to a
 * multiple of 2**(-2 * ME_FRACTION) before it is rounded to thousandths. */
int64_t me_result(uint32_t i, const uint8_t *file)
{
    uint64_t sum = 0;
    for (i = 0; i < ME_FILE_VALUES; i++) {
        const int64_t difference = scaled(me_output_real, me_output0[place_of(i)]) - real_of(file, i);
        sum += (uint64_t)(difference * difference);
    }
    const uint64_t mean = me_divided(sum, ME_FILE_VALUES), one = (uint64_t)1 << 2 * ME_FRACTION;
    const uint64_t rest = (mean & (one - 1)) * 1000u + one / 2;
    return (int64_t)((mean >> 2 * ME_FRACTION) * 1000u + (rest >> 2 * ME_FRACTION));
}
#else
int64_t me_result(uint32_t i, const uint8_t *file)
{
    (void)file;
    return scaled(me_thousandths, me_output0[i]);
}
#endif
