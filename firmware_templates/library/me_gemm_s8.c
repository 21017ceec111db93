/* SPDX-License-Identifier: Apache-2.0 */
#include "me_gemm_s8.h"

#include <stddef.h>

#include "me_gemm_s8_block.h"
#include "me_intrinsics.h"
#include "me_share.h"
#include "me_table.h"

#define MOST_PIXELS 64

/* Stacks are small: functions that do not run during the block computation are not inlined, so that their
 * frames do not add up. */
#define ME_NOINLINE __attribute__((noinline))

/* n / 4 rounded down, and rounded up. n >= 0: an unsigned shift instead of a signed division. */
static int32_t floor_fours(int32_t n) { return n >> 2; }
static int32_t ceil_fours(int32_t n) { return (n + 3) >> 2; }

static uint32_t repeat_byte(int32_t limit) { return ((uint32_t)limit & 0xFFu) * 0x01010101u; }

void me_gemm_wait(me_gemm *gemm)
{
    if (gemm->kernel_waits)
        ME_READY();
    gemm->prepare = 0;
}

/* ---- blocks of one or more groups of pixels */

/* Replaces the results of blocks [first, last), for all pixels from y on, by their table entries. A
 * separate pass, because a block kernel with lookups would exceed a core's instruction cache. */
static ME_NOINLINE void look_up(const me_gemm_results *to, int8_t *y, int32_t pixels, int32_t first,
                                int32_t last)
{
    int32_t n = me_min(4 * last, to->k) - 4 * first;
    if (n == to->y_stride) {
        n *= pixels;
        pixels = 1;
    }
    for (y += 4 * first; pixels > 0; pixels--, y += to->y_stride)
        me_table_row(to->scale->table, y, y, n);
}

/* Computes blocks [first, last) of `pixels` pixels, a multiple of 4 or 1. */
static void run_blocks(me_gemm *gemm, me_block *block, int32_t pixels, int32_t first, int32_t last)
{
    const me_gemm_results *to = &gemm->results;
    int8_t *const y = block->y;
    const int32_t begins = first, in_block = me_min(pixels, 4), full = floor_fours(to->k);
    const int32_t row = me_gemm_row_bytes(gemm->windows.taps);
    block->y += 4 * first;
    block->weights = to->weights + (ptrdiff_t)(4 * row) * first;
    block->channels = to->channels + 4 * first;
    block->groups = pixels / in_block;
    block->blocks = me_min(last, full) - first;
    me_block_kernel *const *const kernels = me_block_kernels[in_block - 1];
    me_block_kernel *const whole = kernels[3];
    me_gemm_prepare(gemm);
    if (in_block == 1 && block->blocks > 1) {
        const int32_t pairs = block->blocks / 2;
        block->blocks = pairs;
        me_block_1x8(block);
        first += 2 * pairs;
        block->y += 8 * pairs;
        block->weights += (ptrdiff_t)(8 * row) * pairs;
        block->channels += 8 * pairs;
        block->blocks = me_min(last, full) - first;
    }
    if (block->blocks > 0)
        whole(block);
    if (last > full) {
        block->y += 4 * (full - first);
        block->weights = to->weights + (ptrdiff_t)(4 * row) * full;
        block->channels = to->channels + 4 * full;
        block->blocks = 1;
        kernels[(to->k & 3) - 1](block);
    }
    if (to->scale->table)
        look_up(to, y, pixels, begins, last);
}

/* Sets the fields that are equal for all blocks; run_blocks() sets the others. */
static inline void begin_block(const me_gemm *gemm, me_block *block)
{
    const me_scale *scale = gemm->results.scale;
    block->y_stride = gemm->results.y_stride;
    block->steps = me_gemm_row_bytes(gemm->windows.taps) / 4;
    block->x_step = gemm->windows.x_step;
    block->pre = scale->pre;
    block->low = repeat_byte(scale->low);
    block->high = repeat_byte(scale->high);
    block->limits = scale->low > -128 || scale->high < 127;
}

/* ---- zero point of the operand that is used as weights */

/* Sets rows[i] = -b_zero * (sum of pixel i), for four pixels per iteration. */
static ME_NOINLINE void sum_rows(const me_gemm *gemm, int32_t count, const int8_t *const *x, int32_t *rows)
{
    const int32_t taps = gemm->windows.taps, words = taps / 4;
    for (int32_t i = 0; i < count; i += 4) {
        const int8_t *at[4];
        int32_t sum[4] = { 0 };
        for (int32_t p = 0; p < 4; p++)
            /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): x has count rows */
            at[p] = x[me_min(i + p, count - 1)];
        if (words > 0)
            me_sum_rows(at, words, sum);
        for (int32_t p = 0; p < 4 && i + p < count; p++) {
            for (int32_t tap = 4 * words; tap < taps; tap++)
                sum[p] += at[p][tap];
            rows[i + p] = -gemm->b_zero * sum[p];
        }
    }
}

/* ---- each core's share: 4 x 4 blocks, ordered by group of pixels and weighted by their cost */

typedef struct {
    int32_t group, block;
} position;

/* -> the end of part `part - 1`. Cost model: per word of taps, a block of 4 pixels takes 24 cycles, blocks
 * of 1, 2 and 3 pixels 9, 14 and 19. */
static ME_NOINLINE position begin_of_part(const me_gemm *gemm, int32_t part)
{
    const int32_t pixels = gemm->windows.pixels, blocks = ceil_fours(gemm->results.k), rest = pixels & 3;
    const int32_t whole = floor_fours(pixels) * blocks, last = 4 + 5 * rest;
    int32_t unit;
    if (rest == 0) {
        unit = me_share_of(gemm->cores, part, whole);
    } else {
        const int32_t at = me_share_of(gemm->cores, part, 24 * whole + last * blocks);
        unit = at <= 24 * whole ? (at + 12) / 24 : whole + (at - 24 * whole + last / 2) / last;
    }
    if (unit < blocks)
        return (position){ .group = 0, .block = unit };
    const int32_t group = unit / blocks;
    return (position){ .group = group, .block = unit - group * blocks };
}

/* Computes blocks [first, last) of one row, which is read in place. */
static void run_row(me_gemm *gemm, int32_t first, int32_t last)
{
    me_block block;
    block.x = &gemm->windows.x;
    block.rows = 0;
    block.y = gemm->results.y;
    begin_block(gemm, &block);
    run_blocks(gemm, &block, 1, first, last);
}

static void run_part(me_gemm *gemm, int32_t core, position from, position to)
{
    union {
        const int8_t *x[MOST_PIXELS];
        struct {
            const int8_t *x[MOST_PIXELS / 2];
            int32_t rows[MOST_PIXELS / 2];
        } both;
    } at;
    const me_gemm_windows *windows = &gemm->windows;
    const int32_t blocks = ceil_fours(gemm->results.k);
    int32_t most = gemm->b_zero ? MOST_PIXELS / 8 : MOST_PIXELS / 4;
    int8_t *scratch = gemm->scratch;
    if (!windows->in_place) {
        most = me_gemm_pixels(windows->taps) / 4;
        scratch += core * 4 * most * me_gemm_row_stride(windows->taps);
    }
    me_block block;
    block.x = at.x;
    block.rows = gemm->b_zero ? at.both.rows : 0;
    begin_block(gemm, &block);
    me_pixel pixel = { .row = 0, .column = 0 };
    if (!windows->in_step)
        pixel = me_pixel_of(windows, 4 * from.group);
    while (from.group < to.group || from.block < to.block) {
        const int32_t first = from.block;
        const int32_t last = from.group < to.group ? blocks : to.block;
        int32_t groups = 1;
        if (first == 0 && last == blocks)
            groups = me_min(most, me_min(to.group, floor_fours(windows->pixels)) - from.group);
        groups = groups < 1 ? 1 : groups;
        const int32_t pixels = me_min(4 * groups, windows->pixels - 4 * from.group);
        if (windows->in_step)
            me_windows_in_step(windows, 4 * from.group, pixels, at.x);
        if (!windows->in_step || gemm->b_zero)
            me_gemm_prepare(gemm);
        if (!windows->in_step)
            me_gather(windows, &pixel, pixels, scratch, at.x);
        if (gemm->b_zero)
            sum_rows(gemm, pixels, at.both.x, at.both.rows);
        block.y = gemm->results.y + (ptrdiff_t)(4 * from.group) * gemm->results.y_stride;
        run_blocks(gemm, &block, pixels, first, last);
        from = last == blocks ? (position){ from.group + groups, 0 } : to;
    }
}

void me_gemm_s8(me_gemm *gemm)
{
    const int32_t first = ME_FIRST_PART(gemm->cores), last = ME_END_PART(gemm->cores);
    if (gemm->windows.pixels > 4) {
        run_part(gemm, first, begin_of_part(gemm, first), begin_of_part(gemm, last));
    } else {
        const int32_t blocks = ceil_fours(gemm->results.k);
        const int32_t from = me_share_of(gemm->cores, first, blocks),
                      to = me_share_of(gemm->cores, last, blocks);
        if (from < to && gemm->windows.pixels == 1 && gemm->windows.in_place && gemm->b_zero == 0)
            run_row(gemm, from, to);
        else if (from < to)
            run_part(gemm, first, (position){ 0, from },
                     to == blocks ? (position){ 1, 0 } : (position){ 0, to });
    }
    me_gemm_prepare(gemm); /* a core without results has not called it yet, and it may contain a barrier */
}

void me_gemm_s8_small_blocks(me_gemm *gemm, int32_t block_pixels)
{
    const me_gemm_windows *windows = &gemm->windows;
    const int32_t blocks = (gemm->results.k + 3) / 4;
    const int32_t units = windows->pixels / block_pixels * blocks, end = ME_LAST(units);
    const int8_t *x[4];
    me_block block;
    block.x = x;
    block.rows = 0;
    begin_block(gemm, &block);
    for (int32_t unit = ME_FIRST(units); unit < end;) {
        const int32_t group = unit / blocks, first = unit - group * blocks;
        const int32_t last = me_min(blocks, first + end - unit);
        me_windows_in_step(windows, block_pixels * group, block_pixels, x);
        block.x = x;
        block.y = gemm->results.y + (ptrdiff_t)(block_pixels * group) * gemm->results.y_stride;
        run_blocks(gemm, &block, block_pixels, first, last);
        unit += last - first;
    }
}
