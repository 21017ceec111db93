// SPDX-License-Identifier: Apache-2.0
// What NE16 computes of a tile: sums of products of inputs and weights.
#include <string.h>

#include "ne16.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))

enum { PLANE_BYTES = LINEAR_LANES / 8, OPERANDS = LINEAR_LANES };

// Sums wrap at 64 bits: weight offsets may be of any size.
static void add(int64_t *sum, int64_t value) { *sum = (int64_t)((uint64_t)*sum + (uint64_t)value); }

// ---- the bytes of L1

typedef uint64_t Eights __attribute__((vector_size(16))); // two words of 8 bytes
typedef uint16_t Pairs __attribute__((vector_size(16)));
typedef uint8_t Bytes __attribute__((vector_size(8)));

// In each word, bit i of byte k becomes bit k of byte i (Hacker's Delight, 7-3).
static inline Eights transposed(Eights x)
{
    Eights t = (x ^ x >> 7) & 0x00aa00aa00aa00aaull;
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
    const uint32_t channel = bits * job->plane_bytes, row = PLANE_BYTES;
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

// The weights of a pass: where they lie, and whether they do so in one piece that nobody watches.
typedef struct {
    WeightLayout layout;
    uint32_t bits;
    const uint8_t *plain; // the first plane; NULL: look at every plane
} Weights;

static bool is_watched(const Machine *m, uint32_t first, uint32_t last)
{
    uint8_t watched = 0;
    for (uint32_t block = first >> 6; block <= last >> 6; block++)
        watched |= m->l1_watched[block];
    return watched;
}

static Weights weights_of(const Machine *m, const Ne16 *n, const Ne16Job *job, uint32_t channels)
{
    const WeightLayout w = weight_layout(n, job);
    const uint32_t first = l1_offset_of(m, w.base);
    const uint64_t end = first + (uint64_t)(channels - 1) * w.channel
        + (uint64_t)(job->weight_bits - 1) * w.plane + PLANE_BYTES;
    const bool plain = end <= m->chip.l1_bytes && !is_watched(m, first, (uint32_t)end - 1);
    return (Weights){w, job->weight_bits, plain ? m->l1 + first : NULL};
}

// Byte i and the one behind it of each plane as 16 weights.
static void put_weights(const uint8_t *const plane[WEIGHT_BITS], uint32_t i, uint8_t weight[16])
{
    uint16_t pair[WEIGHT_BITS];
    Pairs pairs;
    for (uint32_t bit = 0; bit < WEIGHT_BITS; bit++)
        memcpy(&pair[bit], plane[bit] + i, sizeof *pair);
    memcpy(&pairs, pair, sizeof pairs);
    const Bytes bytes[2] = {__builtin_convertvector(pairs, Bytes),
                            __builtin_convertvector(pairs >> 8, Bytes)};
    Eights both;
    memcpy(&both, bytes, sizeof both);
    both = transposed(both);
    memcpy(weight, &both, sizeof both);
}

// Unsigned weights of one output channel: 8 lanes for each byte of a plane, in whole pairs of bytes.
static void load_weights(Machine *m, const Weights *w, uint32_t channel, uint8_t *lanes)
{
    static const uint8_t none[PLANE_BYTES];
    uint8_t copies[WEIGHT_BITS][PLANE_BYTES];
    const uint8_t *plane[WEIGHT_BITS];
    const WeightLayout *at = &w->layout;
    const uint32_t first = channel * at->channel;
    for (uint32_t bit = 0; bit < WEIGHT_BITS; bit++)
        plane[bit] = bit < w->bits && w->plain ? w->plain + (first + bit * at->plane) : none;
    for (uint32_t bit = 0; bit < w->bits && !w->plain; bit++) {
        const uint32_t address = at->base + first + bit * at->plane;
        check_race(m, address, at->used, false);
        plane[bit] = l1_bytes_at(m, address, PLANE_BYTES, copies[bit]);
    }
    for (uint32_t i = 0; i < at->bytes; i += 2)
        put_weights(plane, i, lanes + 8 * i);
}

// Inputs of a pass: 8-bit ones, or low and high bytes apart.
typedef struct {
    int16_t byte[2][WINDOW * WINDOW][LANES];
} Window;

// The same for each output whose sum is used, in the order of a channel's weights; 0 where a filter's
// tap is masked, and behind the last one.
typedef struct {
    int16_t byte[2][OUTPUTS][OPERANDS];
    uint32_t output[OUTPUTS], outputs; // numbers
    uint32_t lanes, halves;            // lanes: a multiple of 16
} Operands;

static void put_bytes(const Ne16Job *job, int16_t *low, int16_t *high, const uint8_t *bytes, uint32_t used)
{
    if (job->wide_input)
        for (uint32_t i = 0; i < used; i++)
            *(i & 1 ? &high[i >> 1] : &low[i >> 1]) = bytes[i];
    else
        for (uint32_t i = 0; i < used; i++)
            low[i] = bytes[i];
}

static void put_pixel(const Ne16Job *job, Window *window, uint32_t pixel, const uint8_t *bytes, uint32_t used)
{
    put_bytes(job, window->byte[0][pixel], window->byte[1][pixel], bytes, used);
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

static const uint8_t *load_pixel(Machine *m, const Ne16Job *job, const TileSize *tile, uint32_t at,
                                 uint32_t y, uint32_t x, uint8_t *copy)
{
    const bool is_used = y < tile->height + job->taps - 1 && x < tile->width + job->taps - 1;
    at += y * job->input_d1 + x * job->input_d0;
    if (is_used) check_race(m, at, tile->ki, false);
    return l1_bytes_at(m, at, KI_TILE_BYTES, copy);
}

static void load_window(Machine *m, const Ne16 *n, const Ne16Job *job, Window *window)
{
    const TileSize tile = tile_size(n, job);
    const uint8_t low = (uint8_t)job->padding_value, high = (uint8_t)(job->padding_value >> 8);
    const uint32_t base = input_base(n, job);
    uint8_t padding[KI_TILE_BYTES], copy[KI_TILE_BYTES];
    for (uint32_t i = 0; i < KI_TILE_BYTES; i++)
        padding[i] = job->wide_input && i & 1 ? high : low;
    memset(window, 0, job->wide_input ? sizeof *window : sizeof window->byte[0]);
    for (uint32_t y = 0; y < job->side; y++)
        for (uint32_t x = 0; x < job->side; x++) {
            if (!is_there(n, job, &tile, y, x)) continue;
            const bool pads = is_padded(n, job, y, x);
            const uint8_t *bytes = pads ? padding : load_pixel(m, job, &tile, base, y, x, copy);
            put_pixel(job, window, y * WINDOW + x, bytes, tile.ki);
        }
}

// ---- sums

static bool is_masked(const Ne16Job *job, uint32_t tap)
{
    const Sides *mask = &job->mask;
    const uint32_t y = tap / 3, x = tap % 3;
    const bool in_rows = y >= mask->top && y + mask->bottom < job->taps;
    return !in_rows || x < mask->left || x + mask->right >= job->taps;
}

static uint32_t pixel_of(uint32_t output, uint32_t tap)
{
    return (output / 3 + tap / 3) * WINDOW + output % 3 + tap % 3;
}

static void put_operands(const Ne16Job *job, const Window *window, uint32_t output, Operands *o)
{
    const uint32_t taps = job->taps * job->taps, lanes = job->wide_input ? LANES / 2 : LANES;
    o->output[o->outputs] = output;
    for (uint32_t half = 0; half < o->halves; half++) {
        int16_t *to = o->byte[half][o->outputs];
        for (uint32_t tap = 0; tap < taps; tap++, to += lanes) {
            if (is_masked(job, tap)) memset(to, 0, lanes * sizeof *to);
            else memcpy(to, window->byte[half][pixel_of(output, tap)], lanes * sizeof *to);
        }
        memset(to, 0, LANES * sizeof *to);
    }
    o->outputs++;
}

static void load_operands(Machine *m, const Ne16 *n, const Ne16Job *job, Operands *o)
{
    const TileSize tile = tile_size(n, job);
    Window window;
    load_window(m, n, job, &window);
    for (uint32_t y = 0; y < tile.height; y++)
        for (uint32_t x = 0; x < tile.width; x++)
            put_operands(job, &window, y * OUTPUT_SIDE + x, o);
}

static void load_row(Machine *m, const Ne16 *n, const Ne16Job *job, Operands *o)
{
    const uint32_t rows = tile_size(n, job).ki, of_row = KI_TILE_BYTES / o->halves;
    uint8_t copy[KI_TILE_BYTES];
    o->output[o->outputs++] = 0;
    for (uint32_t half = 0; half < o->halves; half++)
        memset(o->byte[half][0], 0, sizeof o->byte[half][0]);
    for (uint32_t r = 0; r < rows; r++) {
        const uint32_t at = input_base(n, job) + r * job->input_d0;
        check_race(m, at, KI_TILE_BYTES, false);
        const uint8_t *bytes = l1_bytes_at(m, at, KI_TILE_BYTES, copy);
        put_bytes(job, o->byte[0][0] + r * of_row, o->byte[1][0] + r * of_row, bytes, KI_TILE_BYTES);
    }
}

static ALWAYS_INLINE int32_t dot(const int16_t *a, const int16_t *b, uint32_t lanes)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < lanes; i += LANES)
        for (uint32_t k = i; k < i + LANES; k++)
            sum += a[k] * b[k];
    return sum;
}

// Sums of an output channel: its unsigned weights times the inputs, high bytes counting 256 times.
static ALWAYS_INLINE void add_products(int64_t *sum, const Operands *o, const int16_t *weight,
                                       const int64_t *offset, uint32_t lanes, uint32_t halves)
{
    for (uint32_t i = 0; i < o->outputs; i++) {
        int64_t products = dot(o->byte[0][i], weight, lanes);
        if (halves == 2) products += (int64_t)dot(o->byte[1][i], weight, lanes) * 256;
        add(&sum[o->output[i]], (int64_t)((uint64_t)products + (uint64_t)offset[i]));
    }
}

// 1x1 has so few products that loops of unknown length would cost more than they do.
static void add_channel(int64_t *sum, const Operands *o, const int16_t *weight, const int64_t *offset)
{
    if (o->lanes == LANES && o->halves == 1) add_products(sum, o, weight, offset, LANES, 1);
    else add_products(sum, o, weight, offset, o->lanes, o->halves);
}

// The sum of each output's inputs times the offset of all weights.
static void offsets_of(const Ne16Job *job, const Operands *o, int64_t offset[OUTPUTS])
{
    for (uint32_t i = 0; i < o->outputs; i++) {
        uint64_t inputs = 0;
        for (uint32_t half = 0; half < o->halves; half++)
            for (uint32_t lane = 0; lane < o->lanes; lane++)
                inputs += (uint64_t)o->byte[half][i][lane] << 8 * half;
        offset[i] = (int64_t)(inputs * (uint64_t)(int64_t)job->weight_offset);
    }
}

static void multiply(Machine *m, Ne16 *n, const Ne16Job *job)
{
    const uint32_t channels = tile_size(n, job).channels;
    const Weights weights = weights_of(m, n, job, channels);
    int64_t offset[OUTPUTS];
    uint8_t unsigned_weights[OPERANDS];
    int16_t weight[OPERANDS];
    Operands o;
    o.outputs = 0;
    o.halves = job->wide_input ? 2 : 1;
    o.lanes = (weights.layout.bytes * 8 + LANES - 1) / LANES * LANES;
    if (job->mode == MODE_LINEAR) load_row(m, n, job, &o);
    else load_operands(m, n, job, &o);
    offsets_of(job, &o, offset);
    for (uint32_t channel = 0; channel < channels; channel++) {
        load_weights(m, &weights, channel, unsigned_weights);
        for (uint32_t i = 0; i < o.lanes; i++)
            weight[i] = unsigned_weights[i];
        add_channel(n->sum[channel], &o, weight, offset);
    }
}

static void multiply_depthwise(Machine *m, Ne16 *n, const Ne16Job *job)
{
    const Weights weights = weights_of(m, n, job, 1);
    Window window;
    uint8_t unsigned_weights[TAPS * LANES];
    load_window(m, n, job, &window);
    load_weights(m, &weights, 0, unsigned_weights);
    const uint32_t channels = tile_size(n, job).ki;
    for (uint32_t output = 0; output < OUTPUTS; output++)
        for (uint32_t tap = 0; tap < TAPS; tap++) {
            if (is_masked(job, tap)) continue;
            const int16_t *pixel = window.byte[0][pixel_of(output, tap)];
            for (uint32_t c = 0; c < channels; c++) {
                const int64_t weight = (int64_t)unsigned_weights[tap * LANES + c] + job->weight_offset;
                add(&n->sum[c][output], pixel[c] * weight);
            }
        }
}

void ne16_multiply(Machine *m, Ne16 *n, const Ne16Job *job)
{
    if (job->mode == MODE_DEPTHWISE) multiply_depthwise(m, n, job);
    else multiply(m, n, job);
}
