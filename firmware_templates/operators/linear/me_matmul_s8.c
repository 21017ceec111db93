/* SPDX-License-Identifier: Apache-2.0 */
#include "me_gemm.h"

#include <stddef.h>

#include "me_gemm_s8.h"
#include "me_gemm_s8_block.h"
#include "me_intrinsics.h"
#include "me_share.h"

#define ONES 0x01010101u

/* Stacks are small: functions that do not run during the block computation are not inlined, so that their
 * frames do not add up. */
#define ME_NOINLINE __attribute__((noinline))

/* ---- all cores pack b like weights; scratch: channels, packed b, gathered rows of a */

static me_channel *channels_of_block(const me_matmul_s8_tile *tile)
{
    return (me_channel *)(void *)tile->scratch;
}

static int8_t *packed_block(const me_matmul_s8_tile *tile)
{
    return (int8_t *)(channels_of_block(tile) + tile->n);
}

/* -> the partial sums of a column, which are stored in its channel until the channel is computed */
static int32_t *partial_sum_of(me_channel *channel) { return (int32_t *)(void *)channel; }

/* Packs the last `left` taps of a column, at most four, into a word padded with zeros. */
static uint32_t last_taps(const int8_t *at, int32_t along, int32_t left)
{
    int32_t taps[4] = { 0 };
    for (int32_t i = 0; i < left; i++)
        taps[i] = me_step_b(&at, along);
    return me_pack_b(taps[0], taps[1], taps[2], taps[3]);
}

static uint32_t four_taps(const int8_t *at, int32_t along)
{
    const int32_t one = me_step_b(&at, along), two = me_step_b(&at, along), three = me_step_b(&at, along);
    return me_pack_b(one, two, three, me_step_b(&at, along));
}

/* Packs taps [c, end) of a block of columns, four per word, and adds them to the columns' sums. */
static ME_NOINLINE void pack_rest(const me_gemm *gemm, int32_t first, int32_t c, int32_t end, int8_t *to,
                                  int32_t *sum)
{
    const me_matmul_s8_tile *tile = gemm->tile;
    const int32_t across = gemm->op->b_transposed ? tile->b_stride : 1;
    const int32_t along = gemm->op->b_transposed ? 1 : tile->b_stride;
    const int32_t columns = me_min(4, tile->n - first);
    const int8_t *from = tile->b + first * across + c * along;
    for (; c < end; c += 4, from += 4 * along)
        for (int32_t i = 0; i < columns; i++) {
            const int8_t *at = from + i * across;
            const uint32_t taps = end - c < 4 ? last_taps(at, along, end - c) : four_taps(at, along);
            sum[4 * i] = me_sdotsp_b(sum[4 * i], taps, ONES);
            me_put_w(&to, taps);
        }
}

/* Packs part `part` of 2^halvings parts of the taps of a block of columns. */
static inline void pack_part(const me_gemm *gemm, int32_t first, int32_t part, int32_t halvings)
{
    const me_matmul_s8_params *op = gemm->op;
    const me_matmul_s8_tile *tile = gemm->tile;
    const int32_t columns = me_min(4, tile->n - first), words = op->c >> 2;
    const int32_t from = words * part >> halvings, count = (words * (part + 1) >> halvings) - from;
    const int32_t end = ((part + 1) >> halvings) ? op->c : 4 * (from + count);
    int32_t *const sum = partial_sum_of(channels_of_block(tile) + first) + part;
    int32_t c = 4 * from;
    int8_t *to = packed_block(tile) + (ptrdiff_t)first * me_gemm_row_bytes(op->c) + columns * c;
    if (columns == 4 && count > 0) {
        to = op->b_transposed
            ? me_interleave_rows(tile->b + first * tile->b_stride + c, tile->b_stride, count, to, sum)
            : me_interleave_columns(tile->b + first + c * tile->b_stride, tile->b_stride, count, to, sum);
        c += 4 * count;
    } else
        for (int32_t i = 0; i < columns; i++)
            sum[4 * i] = 0;
    if (c < end)
        pack_rest(gemm, first, c, end, to, sum);
}

/* -> how many times the taps of each block of columns are halved, so that eight cores have equal work */
static int32_t halvings_of(int32_t blocks)
{
    const int32_t whole = (blocks + 7) >> 3 << 2, halves = (2 * blocks + 7) >> 3 << 1;
    const int32_t quarters = (4 * blocks + 7) >> 3;
    return whole <= halves && whole <= quarters ? 0 : halves <= quarters ? 1 : 2;
}

/* Computes channels [first, end) from the partial sums of their columns. */
static inline void make_channels(const me_gemm *gemm, int32_t first, int32_t end, int32_t parts)
{
    const me_matmul_s8_params *op = gemm->op;
    const int32_t mult = op->mult, offset = op->offset, shift = op->shift;
    const int32_t a_zero = op->a_zero, of_zeros = a_zero * op->c * op->b_zero;
    me_channel *channel = channels_of_block(gemm->tile) + first;
    for (; first < end; first++, channel++) {
        int32_t sum = 0;
        for (int32_t part = 0; part < parts; part++)
            sum += partial_sum_of(channel)[part];
        *channel =
            (me_channel){ .bias = of_zeros - a_zero * sum, .mult = mult, .offset = offset, .shift = shift };
    }
}

/* Packs b and computes the channels, on eight cores. A core computes the channels of the columns that it
 * packed, if their taps are not divided. */
static ME_NOINLINE void pack_columns(me_gemm *gemm)
{
    const int32_t n = gemm->tile->n, blocks = (n + 3) >> 2, halvings = halvings_of(blocks);
    const int32_t units = blocks << halvings, first = ME_FIRST(units), last = ME_LAST(units);
    for (int32_t unit = first; unit < last; unit++)
        pack_part(gemm, 4 * (unit >> halvings), unit & ((1 << halvings) - 1), halvings);
    if (halvings > 0)
        ME_SYNC();
    const int32_t end = halvings > 0 ? ME_LAST(n) : me_min(4 * last, n);
    make_channels(gemm, halvings > 0 ? ME_FIRST(n) : 4 * first, end, 1 << halvings);
}

/* Packs b on cores 0 .. 7; the control core joins at the barrier. */
static void pack(me_gemm *gemm)
{
    me_gemm_wait(gemm);
    if (!ME_IS_CONTROL_CORE())
        pack_columns(gemm);
    ME_SYNC_OF(gemm->cores);
}

void me_matmul_s8(const me_matmul_s8_params *op, const me_matmul_s8_tile *tile)
{
    int8_t *const packed = packed_block(tile);
    me_gemm gemm = {
        .windows = me_gemm_rows(tile->a, tile->m, tile->a_stride, op->c),
        .results = {
            .k = tile->n, .y_stride = tile->y_stride, .weights = packed, .channels = channels_of_block(tile),
            .y = tile->y, .scale = &op->scale,
        },
        .b_zero = op->b_zero, .cores = ME_KERNEL_CORES(op->nine_cores), .kernel_waits = tile->kernel_waits,
        .prepare = tile->packed ? me_gemm_waits(tile->kernel_waits) : pack,
        .scratch = packed + (ptrdiff_t)tile->n * me_gemm_row_bytes(op->c), .op = op, .tile = tile,
    };
    me_gemm_s8(&gemm);
}
