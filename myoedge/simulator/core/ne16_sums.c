// SPDX-License-Identifier: Apache-2.0
// What NE16 computes of a tile: sums of products of inputs and weights.
#include <string.h>

#include "ne16.h"

// Sums wrap at 64 bits: weight offsets may be of any size.
static void add(int64_t *sum, int64_t value) { *sum = (int64_t)((uint64_t)*sum + (uint64_t)value); }

// ---- the bytes of L1

// Bit i of byte k becomes bit k of byte i (Hacker's Delight, 7-3).
static uint64_t transposed(uint64_t x)
{
    uint64_t t = (x ^ x >> 7) & 0x00aa00aa00aa00aaull;
    x ^= t ^ t << 7;
    t = (x ^ x >> 14) & 0x0000cccc0000ccccull;
    x ^= t ^ t << 14;
    t = (x ^ x >> 28) & 0x00000000f0f0f0f0ull;
    return x ^ t ^ t << 28;
}

WeightLayout weight_layout(const Ne16 *n, const Ne16Job *job)
{
    const uint32_t bits = job->weight_bits, group = job->wide_input ? 1 : 2;
    const uint32_t plane = job->taps * job->taps * group; // of a group of input channels
    const uint32_t tile = job->weights + (n->ko * KO_TILE * job->ki + n->ki) * bits * plane;
    const uint32_t channel = bits * job->plane_bytes, row = LINEAR_LANES / 8;
    const uint32_t used = tile_size(n, job).ki * group; // of a row
    switch (job->mode) {
    case MODE_LINEAR:
        return (WeightLayout){job->weights + n->ko * KO_TILE * channel + n->ki * row, channel,
                              job->plane_bytes, row, used};
    case MODE_DEPTHWISE:
        return (WeightLayout){job->weights + n->ko * bits * plane, 0, job->weights_d0, plane, plane};
    case MODE_1X1: return (WeightLayout){tile, job->weights_d1, plane, plane, plane};
    default: return (WeightLayout){tile, job->weights_d1, job->weights_d0, plane, plane};
    }
}

// Unsigned weights of one output channel: lanes of each tap, 8 a byte of a plane.
static void load_weights(Machine *m, const WeightLayout *w, uint32_t bits, uint32_t channel, uint8_t *lanes)
{
    uint8_t copies[WEIGHT_BITS][LINEAR_LANES / 8];
    const uint8_t *plane[WEIGHT_BITS];
    bits = least(bits, WEIGHT_BITS); // as it is anyway; compilers cannot know
    for (uint32_t bit = 0; bit < bits; bit++) {
        const uint32_t at = w->base + channel * w->channel + bit * w->plane;
        check_race(m, at, w->used, false);
        plane[bit] = l1_bytes_at(m, at, w->bytes, copies[bit]);
    }
    for (uint32_t i = 0; i < w->bytes; i++) {
        uint64_t eight = 0;
        for (uint32_t bit = 0; bit < bits; bit++)
            eight |= (uint64_t)plane[bit][i] << 8 * bit;
        eight = transposed(eight);
        memcpy(lanes + 8 * i, &eight, sizeof eight);
    }
}

// Inputs of a pass: 8-bit ones, or low and high bytes apart.
typedef struct {
    int16_t byte[2][WINDOW * WINDOW][LANES];
} Window;
typedef struct {
    int16_t byte[2][LINEAR_LANES];
} Row;

static void put_pixel(const Ne16Job *job, Window *window, uint32_t pixel, const uint8_t *bytes, uint32_t used)
{
    for (uint32_t i = 0; i < used; i++)
        if (job->wide_input) window->byte[i & 1][pixel][i >> 1] = bytes[i];
        else window->byte[0][pixel][i] = bytes[i];
}

static bool is_padded(const Ne16 *n, const Ne16Job *job, uint32_t y, uint32_t x)
{
    const Sides *p = &job->padding;
    return (n->row == 0 && y < p->top) || (n->column == 0 && x < p->left)
        || (n->row == job->rows - 1 && y + p->bottom >= WINDOW)
        || (n->column == job->columns - 1 && x + p->right >= WINDOW);
}

// Behind the inputs that are read, only padding from the top and the left takes place.
static bool is_there(const Ne16 *n, const Ne16Job *job, const TileSize *tile, uint32_t y, uint32_t x)
{
    const bool in_rows = y < tile->in_height || (n->row == 0 && y < job->padding.top);
    const bool in_columns = x < tile->in_width || (n->column == 0 && x < job->padding.left);
    return in_rows && in_columns;
}

static void load_pixel(Machine *m, const Ne16 *n, const Ne16Job *job, uint32_t y, uint32_t x, Window *window)
{
    const TileSize tile = tile_size(n, job);
    const uint32_t at = input_base(n, job) + y * job->input_d1 + x * job->input_d0;
    const bool is_used = y < tile.height + job->taps - 1 && x < tile.width + job->taps - 1;
    uint8_t copy[KI_TILE_BYTES];
    if (is_used) check_race(m, at, tile.ki, false);
    put_pixel(job, window, y * WINDOW + x, l1_bytes_at(m, at, KI_TILE_BYTES, copy), tile.ki);
}

static void load_window(Machine *m, const Ne16 *n, const Ne16Job *job, Window *window)
{
    const TileSize tile = tile_size(n, job);
    const uint8_t low = (uint8_t)job->padding_value, high = (uint8_t)(job->padding_value >> 8);
    uint8_t padding[KI_TILE_BYTES];
    for (uint32_t i = 0; i < KI_TILE_BYTES; i++)
        padding[i] = job->wide_input && i & 1 ? high : low;
    memset(window, 0, sizeof *window);
    for (uint32_t y = 0; y < WINDOW; y++)
        for (uint32_t x = 0; x < WINDOW; x++) {
            if (!is_there(n, job, &tile, y, x)) continue;
            if (is_padded(n, job, y, x)) put_pixel(job, window, y * WINDOW + x, padding, tile.ki);
            else load_pixel(m, n, job, y, x, window);
        }
}

// ---- sums

static int32_t dot_16(const int16_t *a, const int16_t *b)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < LANES; i++)
        sum += a[i] * b[i];
    return sum;
}

static int32_t dot_256(const int16_t *a, const int16_t *b)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < LINEAR_LANES; i++)
        sum += a[i] * b[i];
    return sum;
}

// Taps of the filter that no mask takes out, by number. Returns how many.
static uint32_t taps_of(const Ne16Job *job, uint32_t taps[TAPS])
{
    uint32_t count = 0;
    const Sides *mask = &job->mask;
    for (uint32_t tap = 0; tap < job->taps * job->taps; tap++) {
        const uint32_t y = tap / 3, x = tap % 3;
        const bool in_rows = y >= mask->top && y + mask->bottom < job->taps;
        const bool in_columns = x >= mask->left && x + mask->right < job->taps;
        if (in_rows && in_columns) taps[count++] = tap;
    }
    return count;
}

static uint32_t pixel_of(uint32_t output, uint32_t tap)
{
    return (output / 3 + tap / 3) * WINDOW + output % 3 + tap % 3;
}

// Sums of an output channel: its unsigned weights, and their offset times the sum of the inputs.
static void add_channel(int64_t *sum, const Window *window, int16_t weight[TAPS][LANES], const uint32_t *taps,
                        uint32_t used, uint32_t halves)
{
    for (uint32_t output = 0; output < OUTPUTS; output++)
        for (uint32_t half = 0; half < halves; half++) {
            int32_t products = 0;
            for (uint32_t t = 0; t < used; t++)
                products += dot_16(window->byte[half][pixel_of(output, taps[t])], weight[taps[t]]);
            add(&sum[output], (int64_t)products << 8 * half);
        }
}

static void sum_inputs(const Window *window, const uint32_t *taps, uint32_t used, uint32_t halves,
                       int64_t *sum)
{
    int16_t ones[TAPS][LANES];
    for (uint32_t i = 0; i < TAPS * LANES; i++)
        ones[i / LANES][i % LANES] = 1;
    memset(sum, 0, OUTPUTS * sizeof *sum);
    add_channel(sum, window, ones, taps, used, halves);
}

static void multiply_window(Machine *m, Ne16 *n, const Ne16Job *job)
{
    const WeightLayout layout = weight_layout(n, job);
    const uint32_t lanes = job->wide_input ? 8 : 16, halves = job->wide_input ? 2 : 1;
    const uint32_t channels = tile_size(n, job).channels;
    Window window;
    uint32_t taps[TAPS];
    int64_t inputs[OUTPUTS];
    uint8_t unsigned_weights[TAPS * LANES];
    int16_t weight[TAPS][LANES] = {{0}};
    load_window(m, n, job, &window);
    const uint32_t used = taps_of(job, taps);
    sum_inputs(&window, taps, used, halves, inputs);
    for (uint32_t channel = 0; channel < channels; channel++) {
        load_weights(m, &layout, job->weight_bits, channel, unsigned_weights);
        for (uint32_t tap = 0, i = 0; i < layout.bytes * 8; tap++)
            for (uint32_t lane = 0; lane < lanes; lane++)
                weight[tap][lane] = unsigned_weights[i++];
        add_channel(n->sum[channel], &window, weight, taps, used, halves);
        for (uint32_t output = 0; output < OUTPUTS; output++)
            add(&n->sum[channel][output], job->weight_offset * inputs[output]);
    }
}

static void multiply_depthwise(Machine *m, Ne16 *n, const Ne16Job *job)
{
    const WeightLayout layout = weight_layout(n, job);
    Window window;
    uint32_t taps[TAPS];
    uint8_t weights[TAPS * LANES];
    load_window(m, n, job, &window);
    load_weights(m, &layout, job->weight_bits, 0, weights);
    const uint32_t used = taps_of(job, taps), channels = tile_size(n, job).ki;
    for (uint32_t output = 0; output < OUTPUTS; output++)
        for (uint32_t t = 0; t < used; t++) {
            const int16_t *pixel = window.byte[0][pixel_of(output, taps[t])];
            for (uint32_t c = 0; c < channels; c++) {
                const int64_t weight = (int64_t)weights[taps[t] * LANES + c] + job->weight_offset;
                add(&n->sum[c][output], pixel[c] * weight);
            }
        }
}

static void load_row(Machine *m, const Ne16 *n, const Ne16Job *job, Row *row)
{
    const uint32_t rows = tile_size(n, job).ki;
    uint8_t copy[KI_TILE_BYTES];
    memset(row, 0, sizeof *row);
    for (uint32_t r = 0; r < rows; r++) {
        const uint32_t at = input_base(n, job) + r * job->input_d0;
        check_race(m, at, KI_TILE_BYTES, false);
        const uint8_t *bytes = l1_bytes_at(m, at, KI_TILE_BYTES, copy);
        for (uint32_t i = 0; i < KI_TILE_BYTES; i++) {
            const uint32_t byte = r * KI_TILE_BYTES + i;
            if (job->wide_input) row->byte[byte & 1][byte >> 1] = bytes[i];
            else row->byte[0][byte] = bytes[i];
        }
    }
}

static void multiply_linear(Machine *m, Ne16 *n, const Ne16Job *job)
{
    const WeightLayout layout = weight_layout(n, job);
    const uint32_t halves = job->wide_input ? 2 : 1, channels = tile_size(n, job).channels;
    Row row;
    uint8_t unsigned_weights[LINEAR_LANES];
    int16_t weight[LINEAR_LANES];
    int64_t inputs = 0;
    load_row(m, n, job, &row);
    for (uint32_t half = 0; half < halves; half++)
        for (uint32_t i = 0; i < LINEAR_LANES; i++)
            inputs += (int64_t)row.byte[half][i] << 8 * half;
    for (uint32_t channel = 0; channel < channels; channel++) {
        load_weights(m, &layout, job->weight_bits, channel, unsigned_weights);
        for (uint32_t i = 0; i < LINEAR_LANES; i++)
            weight[i] = unsigned_weights[i];
        for (uint32_t half = 0; half < halves; half++)
            add(&n->sum[channel][0], (int64_t)dot_256(row.byte[half], weight) << 8 * half);
        add(&n->sum[channel][0], job->weight_offset * inputs);
    }
}

void ne16_multiply(Machine *m, Ne16 *n, const Ne16Job *job)
{
    if (job->mode == MODE_LINEAR) multiply_linear(m, n, job);
    else if (job->mode == MODE_DEPTHWISE) multiply_depthwise(m, n, job);
    else multiply_window(m, n, job);
}
