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
    const bool linear = job->mode == MODE_LINEAR;
    const bool has_filter = job->mode == MODE_3X3 || job->mode == MODE_DEPTHWISE;
    job->side = has_filter ? WINDOW : OUTPUT_SIDE;
    job->taps = has_filter ? 3 : 1;
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
    job->in_height_last = or_full(high(word[SUBTILE_REM2]), job->side);
    job->in_width_last = or_full(low(word[SUBTILE_REM2]), job->side);
    // 16 inputs are 2 bytes of a plane, whatever their width
    const uint32_t last = or_full(low(word[SUBTILE_REM0]), KI_TILE_BYTES);
    job->plane_bytes = ((job->ki - 1) * KI_TILE_BYTES + last) * 2;
}

static Sides sides_of(uint32_t word, uint32_t bits)
{
    return (Sides){.top = field(word, 3 * bits, bits),
                   .right = field(word, 2 * bits, bits),
                   .bottom = field(word, bits, bits),
                   .left = field(word, 0, bits)};
}

void ne16_decode(const uint32_t word[NE16_WORDS], Ne16Job *job)
{
    decode_config(word[CONFIG0], job);
    decode_strides(word, job);
    decode_tiles(word, job);
    job->weights = word[WEIGHTS_PTR];
    job->input = word[INFEAT_PTR];
    job->output = word[OUTFEAT_PTR];
    job->scale = word[SCALE_PTR];
    job->shift = word[SCALE_SHIFT_PTR];
    job->bias = word[SCALE_BIAS_PTR];
    job->padding = sides_of(high(word[PADDING]), 4);
    job->padding_value = low(word[PADDING]);
    job->mask = sides_of(word[FILTER_MASK], 8);
    job->weight_offset = (int32_t)word[WEIGHT_OFFSET];
}

// ---- rules
static const char *const REGISTER_NAMES[NE16_WORDS] = {
    "WEIGHTS_PTR",       "INFEAT_PTR",        "OUTFEAT_PTR",       "SCALE_PTR",
    "SCALE_SHIFT_PTR",   "SCALE_BIAS_PTR",    "INFEAT_D0_STRIDE",  "INFEAT_D1_STRIDE",
    "INFEAT_D2_STRIDE",  "OUTFEAT_D0_STRIDE", "OUTFEAT_D1_STRIDE", "OUTFEAT_D2_STRIDE",
    "WEIGHTS_D0_STRIDE", "WEIGHTS_D1_STRIDE", "WEIGHTS_D2_STRIDE", "SUBTILE_REM0",
    "SUBTILE_REM1",      "SUBTILE_REM2",      "SUBTILE_NB0",       "SUBTILE_NB1",
    "PADDING",           "WEIGHT_OFFSET",     "FILTER_MASK",       "CONFIG0"};

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
    need(c, job->ko && job->ki, SUBTILE_NB0, "at least one tile of output and of input channels");
    need(c, job->rows && job->columns, SUBTILE_NB1, "at least one tile of rows and of columns");
    need(c, job->ko_last <= job->ko_tile, SUBTILE_REM0, "more output channels than a tile has");
    need(c, low(c->word[SUBTILE_REM0]) <= KI_TILE_BYTES, SUBTILE_REM0, "more input channels than a tile has");
    need(c, job->height_last <= OUTPUT_SIDE && job->width_last <= OUTPUT_SIDE, SUBTILE_REM1,
         "at most 3 rows and columns of outputs");
    need(c, job->in_height_last <= job->side && job->in_width_last <= job->side, SUBTILE_REM2,
         "at most 5 rows and columns of inputs, 3 for 1x1 and linear");
}

static void check_modes(const Check *c)
{
    const Ne16Job *job = c->job;
    const bool depthwise = job->mode == MODE_DEPTHWISE, linear = job->mode == MODE_LINEAR;
    need(c, !job->streams_in || job->output_bits == 32, CONFIG0, "stream-in needs 32-bit output");
    need(c, job->taps == 3 || !c->word[FILTER_MASK], FILTER_MASK,
         "0 for 1x1 and linear, which have no filter to mask");
    need(c, !(job->wide_input && depthwise), CONFIG0, "no 16-bit input in depthwise mode");
    need(c, !job->wide_input || !(c->word[SUBTILE_REM0] & 1), SUBTILE_REM0,
         "an even number of input bytes with 16-bit input");
    need(c, !linear || field(c->word[CONFIG0], 5, 2) == 2, CONFIG0, "linear needs filter mode 2");
    need(c, !depthwise || high(c->word[SUBTILE_REM0]) == low(c->word[SUBTILE_REM0]), SUBTILE_REM0,
         "as many input as output channels in depthwise mode");
    need(c, !depthwise || job->ko == job->ki, SUBTILE_NB0, "as many input as output tiles in depthwise mode");
}

// What the platform model runs, to no good.
static void check_meaning(const Check *c)
{
    const Ne16Job *job = c->job;
    const bool linear = job->mode == MODE_LINEAR, depthwise = job->mode == MODE_DEPTHWISE;
    need(c, job->output_bits == 8 || job->output_bits == 32, CONFIG0,
         "outputs of 8 or 32 bits; others are not stored");
    need(c, !job->normalises || job->scale_bits <= 32, CONFIG0, "scales of 8, 16 or 32 bits");
    need(c, linear || job->ki_last, SUBTILE_REM0, "0 input channels in the last tile: a full one has 16");
    need(c, !(job->streams_in && depthwise) || (job->ko == 1 && job->ko_last <= 8), CONFIG0,
         "stream-in in depthwise mode for at most 8 channels");
    need(c, !(linear && job->wide_input) || job->ki == 1, SUBTILE_NB0,
         "at most 256 inputs of 16 bits in linear mode");
    need(c, !job->strided || (job->rows == 1 && job->columns == 1), SUBTILE_NB1,
         "one tile of pixels with stride 2");
}

// ---- addresses

// Offsets of the first and the last item of several, in items or bytes.
typedef struct {
    int64_t first, last;
} Extent;

static Extent count(uint32_t items) { return (Extent){0, (int64_t)items - 1}; }
static Extent at(int64_t offset, uint32_t bytes) { return (Extent){offset, offset + bytes - 1}; }
static Extent sum(Extent a, Extent b) { return (Extent){a.first + b.first, a.last + b.last}; }

static Extent strided(Extent items, uint32_t stride)
{
    const int64_t a = items.first * (int32_t)stride, b = items.last * (int32_t)stride;
    return a < b ? (Extent){a, b} : (Extent){b, a};
}

// Bytes relative to a pointer: from the first to the last all inside L1, by either of its addresses.
static void need_l1(const Check *c, enum Ne16Register which, Extent bytes)
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

// Of the rows or of the columns: tiles, inputs and outputs of the last one, padding at both ends.
typedef struct {
    uint32_t tiles, in_last, out_last, before, behind;
} Axis;

// Inputs of an axis that stored outputs need and padding does not replace.
static Extent unpadded(Axis axis, uint32_t taps)
{
    uint32_t last = least(axis.in_last, axis.out_last + taps - 1);
    if (axis.behind) last = least(last, axis.behind < WINDOW ? WINDOW - axis.behind : 0);
    int64_t end = 3 * (int64_t)(axis.tiles - 1) + last;
    // the tile before reaches further than a last one that leaves inputs out
    const int64_t reached = 3 * (int64_t)(axis.tiles - 2) + OUTPUT_SIDE + taps - 1;
    if (axis.tiles > 1 && reached > end) end = reached;
    return (Extent){axis.before, end - 1};
}

static void check_linear_input(const Check *c)
{
    const Ne16Job *job = c->job;
    const uint32_t full = (uint32_t)KI_TILE_BYTES << job->wide_input, last = job->ki - 1;
    const Extent rows = strided(count(job->ki_last), job->input_d0);
    need_l1(c, INFEAT_PTR, sum(rows, at((int64_t)last * LINEAR_LANES, KI_TILE_BYTES)));
    if (!last) return;
    const Extent before = at(0, (last - 1) * LINEAR_LANES + KI_TILE_BYTES);
    need_l1(c, INFEAT_PTR, sum(strided(count(full), job->input_d0), before));
}

static void check_input(const Check *c)
{
    const Ne16Job *job = c->job;
    const Sides *p = &job->padding;
    const Axis y = {job->rows, job->in_height_last, job->height_last, p->top, p->bottom};
    const Axis x = {job->columns, job->in_width_last, job->width_last, p->left, p->right};
    const Extent rows = unpadded(y, job->taps), columns = unpadded(x, job->taps);
    const uint32_t bytes = (job->ki - 1) * KI_TILE_BYTES + job->ki_last;
    const bool only_padding = rows.last < rows.first || columns.last < columns.first;
    if (only_padding || !bytes) return;
    const Extent pixels = sum(strided(rows, job->input_d1), strided(columns, job->input_d0));
    need_l1(c, INFEAT_PTR, sum(pixels, count(bytes)));
}

// Weights of one output channel and one group of input channels.
static Extent group_weights(const Ne16Job *job, uint32_t group_bytes)
{
    if (job->mode == MODE_1X1) return count(group_bytes * job->weight_bits);
    if (job->mode == MODE_LINEAR) return count(job->plane_bytes * job->weight_bits);
    return sum(strided(count(job->weight_bits), job->weights_d0), count(group_bytes * TAPS));
}

// Weights of the first tile or of the last one, the latter `tile` bytes from the tile before it.
static void check_weights_of_tile(const Check *c, uint32_t number, uint64_t tile, uint32_t group)
{
    const Ne16Job *job = c->job;
    const bool linear = job->mode == MODE_LINEAR;
    const uint32_t last = number == job->ko - 1 ? job->ko_last : KO_TILE;
    const uint32_t channels = job->mode == MODE_DEPTHWISE ? 1 : last;
    const uint32_t stride = linear ? job->plane_bytes * job->weight_bits : job->weights_d1;
    const bool has_groups = job->mode == MODE_3X3 || job->mode == MODE_1X1;
    const int64_t groups = has_groups ? (int64_t)(tile / KO_TILE / job->ki * (job->ki - 1)) : 0;
    const int64_t base = (int64_t)(tile * number);
    const Extent bytes = sum(strided(count(channels), stride), group_weights(job, group));
    need_l1(c, WEIGHTS_PTR, sum(bytes, (Extent){base, base + groups}));
}

static void check_weights(const Check *c)
{
    const Ne16Job *job = c->job;
    const uint32_t group = job->wide_input ? 1 : 2, bits = job->weight_bits;
    const uint64_t of_channel = (uint64_t)job->ki * bits * job->taps * job->taps * group;
    const uint64_t tile = job->mode == MODE_DEPTHWISE ? 2ull * TAPS * bits
        : job->mode == MODE_LINEAR                    ? (uint64_t)KO_TILE * bits * job->plane_bytes
                                                      : KO_TILE * of_channel;
    check_weights_of_tile(c, 0, tile, group);
    check_weights_of_tile(c, job->ko - 1, tile, group);
}

// Outputs of 32 bits of one tile: groups of 8 channels, the last one with what is left.
static void check_words_of_tile(const Check *c, uint32_t number, Extent pixels)
{
    const Ne16Job *job = c->job;
    const uint32_t channels = number == job->ko - 1 ? job->ko_last : job->ko_tile;
    const uint32_t full = (channels - 1) / 8, rest = channels - full * 8;
    const int64_t base = 4 * (int64_t)number * job->ko_tile;
    const Extent last = strided((Extent){full, full}, job->output_d0);
    need_l1(c, OUTFEAT_PTR, sum(sum(pixels, last), at(base, 4 * rest)));
    const Extent others = strided(count(full), job->output_d0);
    if (full) need_l1(c, OUTFEAT_PTR, sum(sum(pixels, others), at(base, 32)));
}

static void check_output(const Check *c)
{
    const Ne16Job *job = c->job;
    const Extent rows = strided(count((job->rows - 1) * 3 + job->height_last), job->output_d2);
    const Extent columns = strided(count((job->columns - 1) * 3 + job->width_last), job->output_d1);
    const Extent pixels = job->mode == MODE_LINEAR ? count(1) : sum(rows, columns);
    if (job->output_bits == 8) {
        need_l1(c, OUTFEAT_PTR, sum(pixels, count((job->ko - 1) * job->ko_tile + job->ko_last)));
        return;
    }
    check_words_of_tile(c, 0, pixels);
    check_words_of_tile(c, job->ko - 1, pixels);
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
    if (job->mode == MODE_LINEAR) check_linear_input(&check);
    else check_input(&check);
    check_output(&check);
    check_parameters(&check);
}
