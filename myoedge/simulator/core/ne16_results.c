// SPDX-License-Identifier: Apache-2.0
// What NE16 does with the sums of a tile: it reads earlier ones, normalises, and makes output bytes.
#include <string.h>

#include "ne16.h"

static int32_t signed_word(const uint8_t *bytes)
{
    int32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

void ne16_stream_in(Machine *m, Ne16 *n, const Ne16Job *job, const uint32_t *addresses, uint32_t loads)
{
    const TileSize tile = tile_size(n, job);
    const uint32_t groups = loads / (job->mode == MODE_LINEAR ? 1 : OUTPUTS);
    uint8_t copy[32];
    for (uint32_t load = 0; load < loads; load++) {
        const uint32_t output = load / groups, first = load % groups * 8;
        const uint32_t used = first < tile.channels ? least(tile.channels - first, 8) : 0;
        if (output / 3 < tile.height && output % 3 < tile.width)
            check_race(m, addresses[load], used * 4, false);
        const uint8_t *bytes = l1_bytes_at(m, addresses[load], sizeof copy, copy);
        for (uint32_t i = 0; i < 8; i++)
            n->sum[first + i][output] = signed_word(bytes + 4 * i);
    }
}

static int64_t scaled(const Ne16Job *job, int64_t sum, const uint8_t *scales, uint32_t channel)
{
    if (job->scale_bits > 32) return sum;
    const uint32_t bytes = job->scale_bits / 8;
    uint32_t scale = 0;
    memcpy(&scale, scales + channel * bytes, bytes);
    return (int64_t)((uint64_t)sum * scale);
}

// Without a bias nothing is cut to 32 bits, and shifts reach up to 63.
static int64_t shifted(int64_t value, bool has_bias, int32_t bias, uint32_t shift)
{
    if (!has_bias) return value >> (shift & 63);
    return (int32_t)((uint32_t)value + (uint32_t)bias) >> (shift & 31);
}

static void check_parameter_races(Machine *m, const Ne16 *n, const Ne16Job *job)
{
    const uint32_t first = n->ko * job->ko_tile, channels = tile_size(n, job).channels;
    const uint32_t bytes = job->scale_bits / 8;
    if (bytes <= 4) check_race(m, job->scale + first * bytes, channels * bytes, false);
    if (job->has_shifts) check_race(m, job->shift + first, channels, false);
    if (job->has_bias) check_race(m, job->bias + first * 4, channels * 4, false);
}

void ne16_normalise(Machine *m, Ne16 *n, const Ne16Job *job)
{
    const uint32_t first = n->ko * job->ko_tile, scale = job->scale + first * (job->scale_bits / 8);
    uint8_t copies[3][KO_TILE * 4];
    check_parameter_races(m, n, job);
    const uint8_t *scales = l1_bytes_at(m, scale, sizeof copies[0], copies[0]);
    const uint8_t *shifts = l1_bytes_at(m, job->shift + first, KO_TILE, copies[1]);
    const uint8_t *biases = l1_bytes_at(m, job->bias + first * 4, sizeof copies[2], copies[2]);
    for (uint32_t c = 0; c < tile_size(n, job).channels; c++) {
        const uint32_t shift = job->has_shifts ? shifts[c] : job->right_shift;
        const int32_t bias = signed_word(biases + 4 * c);
        for (uint32_t output = 0; output < OUTPUTS; output++) {
            const int64_t value = scaled(job, n->sum[c][output], scales, c);
            n->sum[c][output] = shifted(value, job->has_bias, bias, shift);
        }
    }
}

static int64_t clip(int64_t value, int64_t lowest, int64_t highest)
{
    return value < lowest ? lowest : value > highest ? highest : value;
}

static uint32_t stored(const Ne16Job *job, int64_t sum)
{
    const bool is_byte = job->output_bits == 8;
    if (is_byte && job->is_signed) return (uint32_t)clip(sum, -128, 127);
    if (is_byte) return (uint32_t)clip(sum, 0, 255);
    return (uint32_t)(job->normalises && !job->is_signed ? clip(sum, 0, UINT32_MAX) : sum);
}

void ne16_outputs(Ne16 *n, const Ne16Job *job)
{
    const uint32_t bytes = job->output_bits == 8 ? 1 : 4;
    for (uint32_t c = 0; c < tile_size(n, job).channels; c++)
        for (uint32_t output = 0; output < OUTPUTS; output++) {
            const uint32_t value = stored(job, n->sum[c][output]);
            memcpy(n->outputs[output] + bytes * c, &value, bytes);
        }
}
