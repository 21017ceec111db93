// SPDX-License-Identifier: Apache-2.0
// NE16's accesses to L1, one after the other, and their cycles. A pass is what one tile of input
// channels does for one tile of outputs; its sums are made when it is planned.
#include "access.h"
#include "ne16.h"

enum { GROUP = 8, PAD_BYTES = 4, WIDE_STORE = 36, EVENT_SLOTS = 32 };

static bool is_last_ko(const Ne16 *n, const Ne16Job *job) { return n->ko == job->ko - 1; }

TileSize tile_size(const Ne16 *n, const Ne16Job *job)
{
    const bool linear = job->mode == MODE_LINEAR;
    const bool last_row = n->row == job->rows - 1, last_column = n->column == job->columns - 1;
    const uint32_t ki = job->mode == MODE_DEPTHWISE ? n->ko : n->ki;
    const uint32_t full = (uint32_t)KI_TILE_BYTES << (linear && job->wide_input);
    return (TileSize){
        .in_height = last_row ? job->in_height_last : job->side,
        .in_width = last_column ? job->in_width_last : job->side,
        .height = linear ? 1
            : last_row   ? job->height_last
                         : OUTPUT_SIDE,
        .width = linear   ? 1
            : last_column ? job->width_last
                          : OUTPUT_SIDE,
        .channels = is_last_ko(n, job) ? job->ko_last : job->ko_tile,
        .ki = ki == job->ki - 1 ? job->ki_last : full,
    };
}

// ---- planning

static Ne16Step *plan(Ne16 *n, enum StepKind kind, uint32_t address, uint32_t bytes)
{
    Ne16Step *step = &n->step[n->steps++];
    *step = (Ne16Step){.address = address, .before = (uint16_t)n->wait};
    step->kind = (uint8_t)kind;
    step->bytes = (uint8_t)bytes;
    n->wait = 0;
    return step;
}

// Channels of a tile as parameters and stream-in count them: 32 even where depthwise tiles have 16,
// but for a last tile with a remainder.
static uint32_t counted_channels(const Ne16 *n, const Ne16Job *job)
{
    return is_last_ko(n, job) && job->ko_last_raw ? job->ko_last_raw : KO_TILE;
}

uint32_t input_base(const Ne16 *n, const Ne16Job *job)
{
    // 16-bit inputs of further linear tiles, too, are looked for 256 bytes apart
    if (job->mode == MODE_LINEAR) return job->input + n->ki * LINEAR_LANES;
    return job->input + 3 * n->row * job->input_d1 + 3 * n->column * job->input_d0
        + KI_TILE_BYTES * (job->mode == MODE_DEPTHWISE ? n->ko : n->ki);
}

static uint32_t output_base(const Ne16 *n, const Ne16Job *job)
{
    return job->output + 3 * n->row * job->output_d2 + 3 * n->column * job->output_d1
        + n->ko * job->ko_tile * (job->output_bits / 8);
}

// In depthwise mode the address goes on to the next pixel after each group of channels.
static void plan_stream_in(Machine *m, Ne16 *n, const Ne16Job *job)
{
    uint32_t addresses[WIDE_STORE];
    const uint32_t channels = counted_channels(n, job), groups = (channels + GROUP - 1) / GROUP;
    const uint32_t loads = groups * (job->mode == MODE_LINEAR ? 1 : OUTPUTS);
    const uint32_t of_pixel = job->mode == MODE_DEPTHWISE ? 1 : groups;
    for (uint32_t load = 0; load < loads; load++) {
        const uint32_t pixel = load / of_pixel, group = load % groups;
        const uint32_t used = group == groups - 1 ? channels - group * GROUP : GROUP;
        addresses[load] = output_base(n, job) + load % of_pixel * job->output_d0 + pixel % 3 * job->output_d1
            + pixel / 3 * job->output_d2;
        plan(n, STEP_LOAD, addresses[load], used * 4);
    }
    ne16_stream_in(m, n, job, addresses, loads);
}

static void plan_inputs(const Machine *m, Ne16 *n, const Ne16Job *job)
{
    const TileSize tile = tile_size(n, job);
    const uint32_t base = input_base(n, job);
    n->wait += m->chip.ne16_load_cycles;
    if (job->mode == MODE_LINEAR) {
        for (uint32_t row = 0; row < tile.ki; row++)
            plan(n, STEP_LOAD, base + row * job->input_d0, KI_TILE_BYTES);
        return;
    }
    for (uint32_t y = 0; y < tile.in_height; y++)
        for (uint32_t x = 0; x < tile.in_width; x++)
            plan(n, STEP_LOAD, base + y * job->input_d1 + x * job->input_d0, tile.ki);
    // 1x1 takes the time of all pixels
    if (job->mode == MODE_1X1) n->wait += OUTPUTS - tile.in_height * tile.in_width;
}

static void plan_planes(Ne16 *n, const Ne16Job *job, uint32_t base, uint32_t stride, uint32_t bytes)
{
    for (uint32_t bit = 0; bit < job->weight_bits; bit++)
        plan(n, STEP_LOAD, base + bit * stride, bytes);
}

static void plan_weights(const Machine *m, Ne16 *n, const Ne16Job *job)
{
    const Chip *chip = &m->chip;
    const WeightLayout w = weight_layout(n, job);
    const TileSize tile = tile_size(n, job);
    if (job->mode == MODE_DEPTHWISE) { // all planes for each channel
        n->wait += chip->ne16_depthwise_cycles;
        for (uint32_t c = 0; c < (tile.ki ? tile.ki : KO_TILE_DEPTHWISE); c++)
            plan_planes(n, job, w.base, w.plane, 2 * TAPS);
        return;
    }
    const uint32_t bytes = job->mode == MODE_LINEAR ? LINEAR_LANES / 8 : 2 * TAPS;
    n->wait += job->mode == MODE_3X3 ? chip->ne16_filter_cycles : chip->ne16_pixel_cycles;
    for (uint32_t c = 0; c < tile.channels; c++) {
        const uint32_t base = w.base + c * w.channel;
        if (job->mode == MODE_1X1) plan(n, STEP_LOAD, base, 2 * job->weight_bits);
        else plan_planes(n, job, base, w.plane, bytes);
    }
    n->wait += chip->ne16_drain_cycles;
}

static uint32_t scale_loads(const Ne16 *n, const Ne16Job *job)
{
    const uint32_t channels = counted_channels(n, job);
    const uint32_t a_load = job->scale_bits > 32 ? 4 : 32 / job->scale_bits;
    if (channels == KO_TILE) return job->scale_bits; // a load has 32 bits
    return (channels + a_load - 1) / a_load;
}

static void plan_normalisation(Ne16 *n, const Ne16Job *job)
{
    const uint32_t first = n->ko * job->ko_tile, loads = scale_loads(n, job);
    if (job->has_shifts) plan(n, STEP_LOAD, job->shift + first, KO_TILE);
    for (uint32_t i = 0; i < loads; i++)
        plan(n, STEP_LOAD, job->scale + first * (job->scale_bits / 8) + 4 * i, 4);
    for (uint32_t i = 0; i < 4 && job->has_bias; i++)
        plan(n, STEP_LOAD, job->bias + 4 * first + i % (job->ko_tile / GROUP) * 32, 32);
}

static enum StepKind store_kind(const Ne16Job *job, const TileSize *tile, uint32_t y, uint32_t x)
{
    if (job->output_bits != 8 && job->output_bits != 32) return STEP_SKIP;
    const bool is_left_out = job->strided && (y == 1 || x == 1);
    return x < tile->width && !is_left_out ? STEP_STORE : STEP_PAUSE;
}

// All bytes of a pixel, or the words of 8 channels of it.
static void plan_store(Ne16 *n, const Ne16Job *job, const TileSize *tile, uint32_t pixel, uint32_t group)
{
    const uint32_t left = tile->channels - group * GROUP, y = pixel / 3, x = pixel % 3;
    const uint32_t words = left < GROUP ? left : GROUP;
    const uint32_t bytes = job->output_bits == 32 ? 4 * words : tile->channels;
    const uint32_t address =
        output_base(n, job) + group * job->output_d0 + x * job->output_d1 + y * job->output_d2;
    Ne16Step *step = plan(n, store_kind(job, tile, y, x), address, bytes);
    step->data = (uint16_t)(pixel * sizeof n->outputs[0] + group * GROUP * 4);
}

// Rows are gone through to their ends, but for the last.
static void plan_stores(Ne16 *n, const Ne16Job *job)
{
    const TileSize tile = tile_size(n, job);
    const uint32_t groups = job->output_bits == 32 ? (tile.channels + GROUP - 1) / GROUP : 1;
    for (uint32_t pixel = 0; pixel < (tile.height - 1) * 3 + tile.width; pixel++)
        for (uint32_t group = 0; group < groups; group++)
            plan_store(n, job, &tile, pixel, group);
    if (job->mode != MODE_1X1) return;
    const uint32_t bytes = job->normalises ? job->output_bits / 8 : 4;
    n->step[n->steps - 1].after = (int16_t)(OUTPUTS - (int32_t)(tile.height * tile.width * bytes));
}

static void plan_end_of_tile(Machine *m, Ne16 *n, const Ne16Job *job)
{
    if (job->normalises) {
        plan_normalisation(n, job);
        ne16_normalise(m, n, job);
    }
    ne16_outputs(n, job);
    plan_stores(n, job);
}

static void next_tile(Ne16 *n, const Ne16Job *job)
{
    n->ki = 0;
    if (++n->column < job->columns) return;
    n->column = 0;
    if (++n->row < job->rows) return;
    n->row = 0;
    n->ko++;
}

bool ne16_plan(Machine *m, Ne16 *n, const Ne16Job *job)
{
    n->steps = n->played = 0;
    if (n->ko == job->ko) return false;
    if (n->ki == 0) {
        memset(n->sum, 0, sizeof n->sum);
        if (job->streams_in) plan_stream_in(m, n, job);
    }
    plan_inputs(m, n, job);
    plan_weights(m, n, job);
    ne16_multiply(m, n, job);
    if (job->mode != MODE_DEPTHWISE && n->ki + 1 < job->ki) {
        n->ki++;
        return true;
    }
    plan_end_of_tile(m, n, job);
    next_tile(n, job);
    return true;
}

// ---- playing

static uint32_t bank_wait(Machine *m, uint32_t address, Cycle t)
{
    return (uint32_t)(bank_access(m, address, t) - t);
}

// All words of an access are asked for at once; the slowest counts. Loads take a word more than
// they need, for any alignment, and nobody waits for what is left of their last one.
static uint32_t load_wait(Machine *m, const Ne16Step *step, Cycle t)
{
    const uint32_t bytes = step->bytes + PAD_BYTES, first = step->address & ~3u;
    uint32_t slowest = 0;
    for (uint32_t word = 0; word < bytes / 4; word++) {
        const uint32_t wait = bank_wait(m, first + 4 * word, t);
        if (wait > slowest) slowest = wait;
    }
    if (bytes % 4) bank_wait(m, first + bytes, t);
    return slowest;
}

// Stores go byte by byte; each fourth counts.
static uint32_t store_wait(Machine *m, const Ne16Step *step, Cycle t)
{
    uint32_t slowest = 0;
    for (uint32_t byte = 0; byte < step->bytes; byte++) {
        const uint32_t wait = bank_wait(m, step->address + byte, t);
        if (byte % 4 == 0 && wait > slowest) slowest = wait;
    }
    return slowest;
}

static void store_bytes(Machine *m, const Ne16 *n, const Ne16Step *step)
{
    const uint8_t *data = (const uint8_t *)n->outputs + step->data;
    check_race(m, step->address, step->bytes, true);
    for (uint32_t i = 0; i < step->bytes; i++)
        m->l1[l1_offset_of(m, step->address + i)] = data[i];
}

static uint32_t cycles_of(Machine *m, const Ne16Step *step, Cycle t)
{
    const bool contends = m->chip.ne16_contention && m->chip.l1_contention;
    if (step->kind == STEP_SKIP) return 0;
    if (step->kind == STEP_PAUSE || !contends) return 1;
    return 1 + (step->kind == STEP_LOAD ? load_wait(m, step, t) : store_wait(m, step, t));
}

Cycle ne16_play(Machine *m, Ne16 *n, Cycle t)
{
    const Ne16Step *step = &n->step[n->played++];
    int32_t cycles = (int32_t)cycles_of(m, step, t) + step->after;
    if (cycles < 0) cycles = m->chip.ne16_past_wraps ? cycles & (EVENT_SLOTS - 1) : 0;
    if (step->kind == STEP_STORE) store_bytes(m, n, step);
    return t + (uint32_t)cycles + (n->played < n->steps ? n->step[n->played].before : 0);
}
