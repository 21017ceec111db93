/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16.h"

#if defined(ME_GAP9) && !defined(ME_NE16_IN_C)

#include "me_event_unit.h"

#define NE16(offset) ME_REG(0x10201000u + (offset))
#define CLOCKS ME_REG(0x10200018u)

enum { TRIGGER = 0x00, ACQUIRE = 0x04, STATUS = 0x0C, JOB = 0x20, CLOCK_GATE = 1 << 11 };
#define ENDED (1u << 12) /* event that the engine raises at the end of each job */

static int32_t acquired(void)
{
    uint32_t number = NE16(ACQUIRE);
    for (; number > 255; number = NE16(ACQUIRE))
        me_wait_for_events(ENDED);
    return (int32_t)number;
}

/* bytes: a multiple of 24 */
static inline void write_words(uint32_t at, const void *words, uint32_t bytes)
{
    const uint32_t *word = words, *end = word + bytes / 4;
    __asm__("" : "+r"(end)); /* no unrolling: L2 would deliver 24 pairs of instructions */
    for (; word < end; word += 6, at += 24) {
        NE16(at) = word[0];
        NE16(at + 4) = word[1];
        NE16(at + 8) = word[2];
        NE16(at + 12) = word[3];
        NE16(at + 16) = word[4];
        NE16(at + 20) = word[5];
    }
}

int32_t me_ne16_program(const me_ne16_places *at, const me_ne16_shape *shape)
{
    CLOCKS = CLOCK_GATE;
    const int32_t number = acquired();
    write_words(JOB, at, sizeof *at);
    write_words(JOB + sizeof *at, shape, sizeof *shape);
    return number;
}

/* The engine has two contexts (register files), which jobs use alternately. A context keeps its registers. */
int32_t me_ne16_start_again(const me_ne16_job *job)
{
    (void)job;
    const int32_t number = acquired();
    me_ne16_trigger();
    return number;
}

void me_ne16_trigger(void)
{
    __asm__ volatile("" ::: "memory"); /* the compiler stores the job's operands before the trigger */
    NE16(TRIGGER) = 0;
}

/* Jobs use the two contexts alternately. A context's byte of STATUS is nonzero until its job has ended. */
int32_t me_ne16_has_ended(int32_t number) { return !(NE16(STATUS) & 1u << (8 * (number & 1))); }

void me_ne16_wait(int32_t number)
{
    while (!me_ne16_has_ended(number))
        me_wait_for_events(ENDED);
    __asm__ volatile("" ::: "memory");
}

#else

static int32_t extent(uint32_t tiles, uint32_t last, int32_t whole)
{
    return ((int32_t)(tiles & 0xFFFF) - 1) * whole + (last & 0xFFFF ? (int32_t)(last & 0xFFFF) : whole);
}

static int is_depthwise(const me_ne16_job *job)
{
    return (job->shape.config & ME_NE16_MODE) == ME_NE16_DEPTHWISE;
}

static int is_linear(const me_ne16_job *job)
{
    return (job->shape.config & ME_NE16_LINEAR) == ME_NE16_LINEAR;
}

static int32_t bytes_of_input(const me_ne16_job *job)
{
    return (job->shape.config & ME_NE16_WIDE_INPUT) ? 2 : 1;
}

static int32_t inputs_of(const me_ne16_job *job)
{
    const int32_t last = (int32_t)(job->shape.last_channels & 0xFFFF),
                  tiles = (int32_t)(job->shape.tiles_channels & 0xFFFF);
    if (is_linear(job))
        return 256 * (tiles - 1) + 16 * (last ? last : 16);
    return extent(job->shape.tiles_channels, job->shape.last_channels, 16) / bytes_of_input(job);
}

static int32_t bits_of(const me_ne16_job *job) { return (int32_t)(job->shape.config & 7) + 1; }

static int32_t linear_weight(const me_ne16_job *job, int32_t k, int32_t c)
{
    const int32_t bits = bits_of(job), plane_bytes = inputs_of(job) / 8;
    const uint8_t *planes = job->at.weights + k * bits * plane_bytes;
    int32_t value = job->shape.weight_offset;
    for (int32_t bit = 0; bit < bits; bit++)
        value += (planes[bit * plane_bytes + c / 8] >> c % 8 & 1) << bit;
    return value;
}

/* -> the weight of an input channel at a tap. The weights of 16 input bytes form a group of `bits` bit
 * planes; in a plane, each tap has one byte per 8 channels. Tiles of 32 outputs are contiguous, whatever
 * weight_channel is. */
static int32_t weight(const me_ne16_job *job, int32_t k, int32_t tap, int32_t taps, int32_t c)
{
    const int32_t bits = bits_of(job), eights = 2 / bytes_of_input(job);
    const int32_t group_bytes = bits * eights * taps, groups = (int32_t)(job->shape.tiles_channels & 0xFFFF);
    const uint8_t *block = job->at.weights + k / 32 * 32 * groups * group_bytes;
    const uint8_t *output =
        is_depthwise(job) ? job->at.weights : block + (uint32_t)(k % 32) * job->shape.weight_channel;
    const uint8_t *group = output + c / (8 * eights) * group_bytes;
    int32_t value = job->shape.weight_offset;
    if (is_linear(job))
        return linear_weight(job, k, c);
    for (int32_t bit = 0; bit < bits; bit++)
        value += (group[eights * (bit * taps + tap) + c / 8 % eights] >> c % 8 & 1) << bit;
    return value;
}

static uint32_t scale(const me_ne16_job *job, int32_t k)
{
    const int32_t bytes = 1 << (job->shape.config >> 12 & 3);
    uint32_t value = 0;
    for (int32_t i = 0; i < bytes; i++)
        value |= (uint32_t)job->at.scales[k * bytes + i] << (8 * i);
    return value;
}

static int32_t normalised(const me_ne16_job *job, int32_t k, int32_t sum)
{
    const int64_t scaled = (int64_t)sum * scale(job, k) + job->at.biases[k];
    return (int32_t)(scaled >> ((job->shape.config & ME_NE16_SHIFTS) ? job->at.shifts[k] : 0));
}

static int8_t clipped(const me_ne16_job *job, int32_t y)
{
    const int32_t low = (job->shape.config & ME_NE16_SIGNED) ? -128 : 0;
    return (int8_t)(y < low ? low : y > low + 255 ? low + 255 : y);
}

/* -> the address of a 4-byte result */
static int32_t *word_of(const me_ne16_job *job, int32_t k, int8_t *y)
{
    return (int32_t *)(void *)(y + (uint32_t)(k / 8) * job->shape.y_group + k % 8 * 4);
}

enum { PIXELS = 64 }; /* weight of a block: unpacked once for all its pixels */

typedef struct {
    int32_t pixels;
    uint32_t x[PIXELS], y[PIXELS]; /* offsets in bytes */
} block;

static block block_from(const me_ne16_job *job, int32_t first, int32_t pixels, int32_t columns)
{
    block of = { pixels - first < PIXELS ? pixels - first : PIXELS, { 0 }, { 0 } };
    for (int32_t i = 0; i < of.pixels; i++) {
        const uint32_t row = (uint32_t)((first + i) / columns), column = (uint32_t)((first + i) % columns);
        of.x[i] = row * job->shape.x_row + column * job->shape.x_pixel;
        of.y[i] = row * job->shape.y_row + column * job->shape.y_pixel;
    }
    return of;
}

static void add_products(const block *of, const uint8_t *x, const int32_t *weights, int32_t count,
                         int32_t *sums)
{
    for (int32_t i = 0; i < of->pixels; i++)
        for (int32_t c = 0; c < count; c++)
            sums[i] += x[of->x[i] + (uint32_t)c] * weights[c];
}

/* Sums wrap around modulo 2^32. */
static void add_wide_products(const block *of, const uint8_t *x, const int32_t *weights, int32_t count,
                              int32_t *sums)
{
    for (int32_t i = 0; i < of->pixels; i++) {
        const uint8_t *pixel = x + of->x[i];
        for (int32_t c = 0; c < count; c++) {
            const uint32_t value = pixel[2 * c] | (uint32_t)pixel[2 * c + 1] << 8;
            sums[i] = (int32_t)((uint32_t)sums[i] + value * (uint32_t)weights[c]);
        }
    }
}

static void add_tap(const me_ne16_job *job, const block *of, int32_t k, int32_t tap, int32_t inputs,
                    int32_t *sums)
{
    const int32_t side = (job->shape.config & ME_NE16_1X1) ? 1 : 3;
    const int32_t first = is_depthwise(job) ? k : 0, end = is_depthwise(job) ? k + 1 : inputs;
    const uint8_t *x =
        job->at.x + (uint32_t)(tap / side) * job->shape.x_row + (uint32_t)(tap % side) * job->shape.x_pixel;
    for (int32_t c = first; c < end; c += 16) {
        const int32_t count = end - c < 16 ? end - c : 16;
        int32_t weights[16];
        for (int32_t i = 0; i < count; i++)
            weights[i] = weight(job, k, tap, side * side, c + i);
        if (bytes_of_input(job) == 2)
            add_wide_products(of, x + 2 * c, weights, count, sums);
        else
            add_products(of, x + c, weights, count, sums);
    }
}

static void store(const me_ne16_job *job, int32_t k, int32_t sum, int8_t *y)
{
    const int32_t result = (job->shape.config & ME_NE16_NORMALISE) ? normalised(job, k, sum) : sum;
    if (job->shape.config & ME_NE16_INT32)
        *word_of(job, k, y) = result;
    else
        y[k] = clipped(job, result);
}

static void channel(const me_ne16_job *job, const block *of, int32_t k, int32_t inputs)
{
    const int32_t taps = (job->shape.config & ME_NE16_1X1) ? 1 : 9;
    int32_t sums[PIXELS];
    for (int32_t i = 0; i < of->pixels; i++)
        sums[i] = (job->shape.config & ME_NE16_STREAM_IN) ? *word_of(job, k, job->at.y + of->y[i]) : 0;
    for (int32_t tap = 0; tap < taps; tap++)
        add_tap(job, of, k, tap, inputs, sums);
    for (int32_t i = 0; i < of->pixels; i++)
        store(job, k, sums[i], job->at.y + of->y[i]);
}

static me_ne16_job programmed;

int32_t me_ne16_program(const me_ne16_places *at, const me_ne16_shape *shape)
{
    programmed = (me_ne16_job){ *at, *shape };
    return 0;
}

void me_ne16_trigger(void)
{
    const me_ne16_job *job = &programmed;
    const int32_t channels =
        extent(job->shape.tiles_channels >> 16, job->shape.last_channels >> 16, is_depthwise(job) ? 16 : 32);
    const int32_t inputs = inputs_of(job);
    const int32_t columns = extent(job->shape.tiles_pixels, job->shape.last_outputs, 3);
    const int32_t pixels = columns * extent(job->shape.tiles_pixels >> 16, job->shape.last_outputs >> 16, 3);
    for (int32_t first = 0; first < pixels; first += PIXELS) {
        const block of = block_from(job, first, pixels, columns);
        for (int32_t k = 0; k < channels; k++)
            channel(job, &of, k, inputs);
    }
}

int32_t me_ne16_start_again(const me_ne16_job *job) { return me_ne16_start(job); }

void me_ne16_wait(int32_t number) { (void)number; }

int32_t me_ne16_has_ended(int32_t number)
{
    (void)number;
    return 1;
}

#endif
