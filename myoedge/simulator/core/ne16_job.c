// SPDX-License-Identifier: Apache-2.0
// The registers of an NE16 job by meaning, and the rules that a job has to keep.
#include <stdio.h>

#include "ne16.h"

static uint32_t field(uint32_t word, uint32_t first, uint32_t bits)
{
    return word >> first & ((1u << bits) - 1);
}

static uint32_t high(uint32_t word) { return word >> 16; }
static uint32_t low(uint32_t word) { return word & 0xffff; }
static uint32_t or_full(uint32_t remainder, uint32_t full) { return remainder ? remainder : full; }
static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

static enum Ne16Mode mode_of(uint32_t config)
{
    if (field(config, 7, 1)) return MODE_LINEAR;
    const uint32_t filter = field(config, 5, 2);
    return filter == 0 ? MODE_3X3 : filter == 1 ? MODE_DEPTHWISE : MODE_1X1;
}

static void decode_config(uint32_t config, Ne16Job *job)
{
    job->mode = mode_of(config);
    job->weight_bits = field(config, 0, 3) + 1;
    job->wide_input = field(config, 3, 1);
    job->normalises = field(config, 4, 1);
    job->strided = field(config, 8, 1);
    job->scale_bits = 8u << field(config, 12, 2);
    job->streams_in = field(config, 14, 1);
    job->right_shift = field(config, 16, 5);
    job->output_bits = 8u << field(config, 21, 2);
    job->is_signed = field(config, 23, 1);
    job->has_shifts = field(config, 24, 1);
    job->has_bias = field(config, 25, 1);
}

static void decode_strides(const uint32_t *word, Ne16Job *job)
{
    job->input_d0 = word[INFEAT_D0];
    job->input_d1 = word[INFEAT_D1];
    job->output_d0 = word[OUTFEAT_D0];
    job->output_d1 = word[OUTFEAT_D1];
    job->output_d2 = word[OUTFEAT_D2];
    job->weights_d0 = word[WEIGHTS_D0];
    job->weights_d1 = word[WEIGHTS_D1];
}

static uint32_t ki_last_of(const uint32_t *word, const Ne16Job *job)
{
    const uint32_t remainder = low(word[SUBTILE_REM0]);
    if (job->mode != MODE_LINEAR) return remainder;
    return or_full(remainder, KI_TILE_BYTES) << job->wide_input;
}

static void decode_tiles(const uint32_t *word, Ne16Job *job)
{
    const uint32_t side = job->mode == MODE_3X3 || job->mode == MODE_DEPTHWISE ? WINDOW : OUTPUT_SIDE;
    const bool linear = job->mode == MODE_LINEAR;
    job->ko = high(word[SUBTILE_NB0]);
    job->ki = low(word[SUBTILE_NB0]);
    job->rows = high(word[SUBTILE_NB1]);
    job->columns = low(word[SUBTILE_NB1]);
    job->ko_tile = job->mode == MODE_DEPTHWISE ? KO_TILE_DEPTHWISE : KO_TILE;
    job->ko_last_raw = high(word[SUBTILE_REM0]);
    job->ko_last = or_full(job->ko_last_raw, job->ko_tile);
    job->ki_last = ki_last_of(word, job);
    job->height_last = linear ? 1 : or_full(high(word[SUBTILE_REM1]), OUTPUT_SIDE);
    job->width_last = linear ? 1 : or_full(low(word[SUBTILE_REM1]), OUTPUT_SIDE);
    job->in_height_last = or_full(high(word[SUBTILE_REM2]), side);
    job->in_width_last = or_full(low(word[SUBTILE_REM2]), side);
    // 16 inputs are 2 bytes of a plane, whatever their width
    const uint32_t last = or_full(low(word[SUBTILE_REM0]), KI_TILE_BYTES);
    job->plane_bytes = ((job->ki - 1) * KI_TILE_BYTES + last) * 2;
}

void ne16_decode(const uint32_t word[NE16_WORDS], Ne16Job *job)
{
    const uint32_t padding = word[PADDING], mask = word[FILTER_MASK];
    decode_config(word[CONFIG0], job);
    decode_strides(word, job);
    decode_tiles(word, job);
    job->weights = word[WEIGHTS_PTR];
    job->input = word[INFEAT_PTR];
    job->output = word[OUTFEAT_PTR];
    job->scale = word[SCALE_PTR];
    job->shift = word[SCALE_SHIFT_PTR];
    job->bias = word[SCALE_BIAS_PTR];
    job->padding = (Sides){field(padding, 28, 4), field(padding, 24, 4), field(padding, 20, 4), field(padding, 16, 4)};
    job->padding_value = low(padding);
    job->mask = (Sides){field(mask, 24, 8), field(mask, 16, 8), field(mask, 8, 8), field(mask, 0, 8)};
    job->weight_offset = (int32_t)word[WEIGHT_OFFSET];
}

// ---- rules

static const char *const REGISTER_NAMES[NE16_WORDS] = {
    "WEIGHTS_PTR", "INFEAT_PTR", "OUTFEAT_PTR", "SCALE_PTR", "SCALE_SHIFT_PTR", "SCALE_BIAS_PTR",
    "INFEAT_D0_STRIDE", "INFEAT_D1_STRIDE", "INFEAT_D2_STRIDE", "OUTFEAT_D0_STRIDE", "OUTFEAT_D1_STRIDE",
    "OUTFEAT_D2_STRIDE", "WEIGHTS_D0_STRIDE", "WEIGHTS_D1_STRIDE", "WEIGHTS_D2_STRIDE", "SUBTILE_REM0",
    "SUBTILE_REM1", "SUBTILE_REM2", "SUBTILE_NB0", "SUBTILE_NB1", "PADDING", "WEIGHT_OFFSET", "FILTER_MASK",
    "CONFIG0"};

typedef struct {
    const Access *a;
    const uint32_t *word;
    const Ne16Job *job;
} Check;

static void need(const Check *c, bool holds, enum Ne16Register which, const char *rule)
{
    if (holds) return;
    fault(c->a->c->m, c->a->c->id, FAULT_NE16, pc_of(c->a->c->m, c->a->i), c->a->address,
          "NE16 register %s = 0x%08x: %s", REGISTER_NAMES[which], c->word[which], rule);
}

// What nothing is known of, or what the platform model stops at.
static void check_sizes(const Check *c)
{
    const Ne16Job *job = c->job;
    const uint32_t side = job->mode == MODE_3X3 || job->mode == MODE_DEPTHWISE ? WINDOW : OUTPUT_SIDE;
    need(c, job->ko && job->ki, SUBTILE_NB0, "at least one tile of output and of input channels");
    need(c, job->rows && job->columns, SUBTILE_NB1, "at least one tile of rows and of columns");
    need(c, job->ko_last <= job->ko_tile, SUBTILE_REM0, "more output channels than a tile has");
    need(c, low(c->word[SUBTILE_REM0]) <= KI_TILE_BYTES, SUBTILE_REM0, "more input channels than a tile has");
    need(c, job->height_last <= OUTPUT_SIDE && job->width_last <= OUTPUT_SIDE, SUBTILE_REM1,
         "at most 3 rows and columns of outputs");
    need(c, job->in_height_last <= side && job->in_width_last <= side, SUBTILE_REM2,
         "at most 5 rows and columns of inputs, 3 for 1x1 and linear");
}

static void check_modes(const Check *c)
{
    const Ne16Job *job = c->job;
    const bool has_filter = job->mode == MODE_3X3 || job->mode == MODE_DEPTHWISE;
    const bool depthwise = job->mode == MODE_DEPTHWISE;
    need(c, !job->streams_in || job->output_bits == 32, CONFIG0, "stream-in needs 32-bit output");
    need(c, has_filter || !c->word[FILTER_MASK], FILTER_MASK, "0 for 1x1 and linear, which have no filter to mask");
    need(c, !(job->wide_input && depthwise), CONFIG0, "no 16-bit input in depthwise mode");
    need(c, !job->wide_input || !(c->word[SUBTILE_REM0] & 1), SUBTILE_REM0,
         "an even number of input bytes with 16-bit input");
    need(c, job->mode != MODE_LINEAR || field(c->word[CONFIG0], 5, 2) == 2, CONFIG0, "linear needs filter mode 2");
    need(c, !depthwise || high(c->word[SUBTILE_REM0]) == low(c->word[SUBTILE_REM0]), SUBTILE_REM0,
         "as many input as output channels in depthwise mode");
    need(c, !depthwise || job->ko == job->ki, SUBTILE_NB0, "as many input as output tiles in depthwise mode");
}

// What the platform model runs, to no good.
static void check_meaning(const Check *c)
{
    const Ne16Job *job = c->job;
    const bool linear = job->mode == MODE_LINEAR;
    need(c, job->output_bits == 8 || job->output_bits == 32, CONFIG0, "outputs of 8 or 32 bits; others are not stored");
    need(c, !job->normalises || job->scale_bits <= 32, CONFIG0, "scales of 8, 16 or 32 bits");
    need(c, linear || job->ki_last, SUBTILE_REM0, "0 input channels in the last tile: a full one has 16");
    need(c, !(job->streams_in && job->mode == MODE_DEPTHWISE) || (job->ko == 1 && job->ko_last <= 8), CONFIG0,
         "stream-in in depthwise mode for at most 8 channels");
    need(c, !(linear && job->wide_input) || job->ki == 1, SUBTILE_NB0, "at most 256 inputs of 16 bits in linear mode");
    need(c, !job->strided || (job->rows == 1 && job->columns == 1), SUBTILE_NB1, "one tile of pixels with stride 2");
}

// ---- addresses

// Steps of a number of strides: so many items, so far apart.
typedef struct { int64_t first, last; } Span;

static Span steps(Span range, uint32_t stride)
{
    const int64_t a = range.first * (int32_t)stride, b = range.last * (int32_t)stride;
    return a < b ? (Span){a, b} : (Span){b, a};
}

static Span count(uint32_t items) { return (Span){0, (int64_t)items - 1}; }
static Span sum(Span a, Span b) { return (Span){a.first + b.first, a.last + b.last}; }

// Bytes of which the last span's are the size: all inside L1, by either of its addresses.
static void need_l1(const Check *c, enum Ne16Register which, Span bytes)
{
    const Chip *chip = &c->a->c->m->chip;
    const uint64_t size = (uint64_t)(bytes.last - bytes.first) + 1;
    const uint32_t first = c->word[which] + (uint32_t)bytes.first;
    const bool is_alias = first < chip->l1_bytes;
    const uint32_t offset = is_alias ? first : first - chip->l1_base;
    const bool is_near = bytes.first >= INT32_MIN && bytes.first <= INT32_MAX;
    need(c, is_near && offset < chip->l1_bytes && size <= chip->l1_bytes - offset, which,
         "an address outside L1 is reached");
}

// Rows or columns of the input that stored outputs need and padding does not replace.
static Span unpadded(uint32_t tiles, uint32_t in_last, uint32_t out_last, uint32_t taps, uint32_t before, uint32_t behind)
{
    uint32_t last = least(in_last, out_last + taps - 1);
    if (behind) last = least(last, behind < WINDOW ? WINDOW - behind : 0);
    int64_t end = 3 * (int64_t)(tiles - 1) + last;
    // the tile before reaches further than a last one that leaves inputs out
    const int64_t reached = 3 * (int64_t)(tiles - 2) + OUTPUT_SIDE + taps - 1;
    if (tiles > 1 && reached > end) end = reached;
    return (Span){before, end - 1};
}

static void check_input(const Check *c)
{
    const Ne16Job *job = c->job;
    const uint32_t tile = job->mode == MODE_LINEAR ? LINEAR_LANES : KI_TILE_BYTES;
    if (job->mode == MODE_LINEAR) {
        const Span row = steps(count(job->ki_last), job->input_d0);
        const Span full = steps(count((uint32_t)KI_TILE_BYTES << job->wide_input), job->input_d0);
        Span all = sum(row, (Span){(int64_t)(job->ki - 1) * tile, (int64_t)(job->ki - 1) * tile + KI_TILE_BYTES - 1});
        need_l1(c, INFEAT_PTR, all);
        if (job->ki > 1) need_l1(c, INFEAT_PTR, sum(full, count((job->ki - 2) * tile + KI_TILE_BYTES)));
        return;
    }
    const uint32_t taps = job->mode == MODE_1X1 ? 1 : 3;
    const Span rows = unpadded(job->rows, job->in_height_last, job->height_last, taps, job->padding.top, job->padding.bottom);
    const Span columns = unpadded(job->columns, job->in_width_last, job->width_last, taps, job->padding.left, job->padding.right);
    const uint32_t bytes = (job->ki - 1) * tile + job->ki_last;
    if (rows.last < rows.first || columns.last < columns.first || !bytes) return; // nothing but padding
    need_l1(c, INFEAT_PTR, sum(sum(steps(rows, job->input_d1), steps(columns, job->input_d0)), count(bytes)));
}

// Weights of one output channel of the first tile: bytes from the first of them to the last.
static Span channel_weights(const Ne16Job *job, uint32_t group_bytes)
{
    if (job->mode == MODE_1X1) return count(group_bytes * job->weight_bits);
    if (job->mode == MODE_LINEAR) return count(job->plane_bytes * job->weight_bits);
    return sum(steps(count(job->weight_bits), job->weights_d0), count(group_bytes * TAPS));
}

static void check_weights(const Check *c)
{
    const Ne16Job *job = c->job;
    const uint32_t group = job->wide_input ? 1 : 2, taps = job->mode == MODE_1X1 ? 1 : TAPS;
    const bool depthwise = job->mode == MODE_DEPTHWISE, linear = job->mode == MODE_LINEAR;
    const uint32_t channel = linear ? job->plane_bytes * job->weight_bits : job->weights_d1;
    const uint64_t tile = depthwise ? 18ull * job->weight_bits
        : linear                    ? 32ull * job->weight_bits * job->plane_bytes
                                    : 32ull * job->ki * job->weight_bits * taps * group;
    const uint64_t groups = depthwise || linear ? 0 : (uint64_t)(job->ki - 1) * job->weight_bits * taps * group;
    for (uint32_t last = 0; last < 2; last++) { // the first tile, the last one
        if (!last && job->ko == 1) continue;
        const uint32_t channels = depthwise ? 1 : last ? job->ko_last : KO_TILE;
        const int64_t base = last ? (int64_t)(tile * (job->ko - 1)) : 0;
        Span bytes = sum(steps(count(channels), channel), channel_weights(job, group));
        need_l1(c, WEIGHTS_PTR, sum(bytes, (Span){base, base + (int64_t)groups}));
    }
}

static void check_output(const Check *c)
{
    const Ne16Job *job = c->job;
    const bool words = job->output_bits == 32;
    const uint32_t channels = (job->ko - 1) * job->ko_tile + job->ko_last;
    const Span rows = steps(count((job->rows - 1) * 3 + job->height_last), job->output_d2);
    const Span columns = steps(count((job->columns - 1) * 3 + job->width_last), job->output_d1);
    const Span pixels = job->mode == MODE_LINEAR ? count(1) : sum(rows, columns);
    if (!words) {
        need_l1(c, OUTFEAT_PTR, sum(pixels, count(channels)));
        return;
    }
    for (uint32_t last = 0; last < 2; last++) {
        if (!last && job->ko == 1) continue;
        const uint32_t n = last ? job->ko_last : job->ko_tile;
        const int64_t base = last ? (int64_t)(job->ko - 1) * job->ko_tile * 4 : 0;
        const uint32_t groups = (n + 7) / 8, rest = n - (groups - 1) * 8;
        Span bytes = sum(sum(pixels, steps(count(groups), job->output_d0)), (Span){base, base + 4 * (int64_t)rest - 1});
        if (groups > 1) {
            const Span full = sum(steps(count(groups - 1), job->output_d0), (Span){base, base + 31});
            need_l1(c, OUTFEAT_PTR, sum(pixels, full));
        }
        need_l1(c, OUTFEAT_PTR, bytes);
    }
}

static void check_parameters(const Check *c)
{
    const Ne16Job *job = c->job;
    const uint32_t channels = (job->ko - 1) * job->ko_tile + job->ko_last;
    if (!job->normalises) return;
    if (job->scale_bits <= 32) need_l1(c, SCALE_PTR, count(channels * job->scale_bits / 8));
    if (job->has_shifts) need_l1(c, SCALE_SHIFT_PTR, count(channels));
    if (job->has_bias) need_l1(c, SCALE_BIAS_PTR, count(channels * 4));
}

void ne16_check(const Access *a, const uint32_t word[NE16_WORDS], const Ne16Job *job)
{
    const Check check = {a, word, job};
    check_sizes(&check);
    check_modes(&check);
    if (!a->c->m->chip.ne16_strict) return;
    check_meaning(&check);
    check_weights(&check);
    check_input(&check);
    check_output(&check);
    check_parameters(&check);
}
