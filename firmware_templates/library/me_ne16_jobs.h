/* SPDX-License-Identifier: Apache-2.0
 * Linear layers and convolutions on NE16, of operands in L1: jobs whose results the engine requantises, or the cores.
 * Cores 0 .. 7 call a layer together. They arrange a job's operands in scratch as unsigned bytes while the engine runs
 * the job before, core 0 starts the jobs, and all finish the results of a job while the next one runs.
 */
#ifndef ME_NE16_JOBS_H
#define ME_NE16_JOBS_H

#include "me_elementwise.h"
#include "me_gemm.h"
#include "me_ne16_arrange.h"
#include "me_ne16.h"
#include "me_next_tile.h"

/* Requantisation of the sum of x - x_zero over `reduced` columns of results; each: one channel, whose
 * bias is not read */
typedef struct {
    int32_t reduced, x_zero;
    const me_channel *each;
    me_scale scale;
} me_row_mean;

/* Sums of 32 bits that the cores requantise.
 * halves   2 if a weight is split as hi << weight_bits | lo, two signed values of weight_bits, 2 to 8, which are
 *          consecutive outputs of the engine; otherwise 1
 * y_wide   y is int16, otherwise int8 */
typedef struct {
    int32_t halves, weight_bits, y_wide;
} me_ne16_sums;

typedef struct me_ne16_jobs_params me_ne16_jobs_params;
typedef struct me_ne16_jobs_tile me_ne16_jobs_tile;

/* Pieces of equal bytes that are copied from x to scratch as unsigned bytes, one
 * copy by one core.
 * from, to   first piece, from the beginning of x and of scratch; from: -1 for op.padding */
typedef struct {
    int32_t from, to, pieces, bytes, from_step, to_step;
} me_ne16_copy;

/* Units of a tile that are finished together, and the `jobs` jobs from `job` on whose results they are.
 * first     first unit: a row of results, or a result; units up to the next range's are complete after these jobs
 * prepared  first unit whose operands are prepared for them, which are those up to the next range's
 * copy      first copy that prepares them
 * x, y      added to the jobs' addresses */
typedef struct {
    int32_t first, prepared, copy, job, jobs, x, y;
} me_ne16_range;

/* A job of ranges: the index of its shape, what is added to their addresses, and its first output. */
typedef struct {
    int32_t shape, weights, x, y, k;
} me_ne16_placed_job;

/* Work of the cores for a range of a tile. */
typedef void me_ne16_of_range(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile,
                              const me_ne16_range *range);

/* Work of the cores for a tile, while its jobs run. */
typedef void me_ne16_of_tile(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile);

/* form:
 *   ME_NE16_RUN     units are results in a row, not rows of results. A 3x3 job treats them as rows of three, so that
 *                   the nine taps of a filter follow each other
 *   ME_NE16_TURNED  rows of the convolution are columns of x and y
 *   ME_NE16_COPIES  me_ne16_copy_windows copies from a copy of the input with its padding
 *   ME_NE16_X_WIDE  x is int16; conv.c and conv.row_stride count bytes */
enum { ME_NE16_RUN = 1, ME_NE16_TURNED = 2, ME_NE16_COPIES = 8, ME_NE16_X_WIDE = 16 };

/* conv     sizes, strides, x_zero and scale.table; of rows of bytes only the table; all of it if `beside` needs it
 * step     bytes between the operands of neighbouring results   inputs: of a pixel of a job
 * padding  four bytes of padding, of me_ne16_copy_pieces
 * prepare  called by all cores; cores 1 .. 7 prepare a range's operands while core 0 writes its job; 0:
 *          nothing to prepare
 * finish   called by all cores after a range's jobs have ended and before the jobs of the range after the next start
 * beside   called by all cores when all jobs are queued or running; 0: nothing to compute
 * add      of me_ne16_add: a is the layer's result   mean: of me_ne16_mean   sums: of me_ne16_requantise */
struct me_ne16_jobs_params {
    me_conv_s8_params conv;
    uint32_t form;
    int32_t step, inputs, padding;
    me_ne16_of_range *prepare, *finish;
    me_ne16_of_tile *beside;
    union {
        me_add_s16_params add;
        me_row_mean mean;
        me_ne16_sums sums;
    };
};

/* at       addresses that those of the jobs are added to; weights are bit planes, x: operands of the jobs, x itself
 *          if they are made unsigned in place
 * ranges   range_count, and one more, which begins after the last unit and copy; jobs, shapes, copies: of the ranges
 * conv     x, y and their sizes; weights and scratch are unused; padded: where `prepare` writes x
 * unit_bytes   bytes of results of a unit in y
 * ninth    eight results are computed as nine, in scratch after the operands
 * has_scratch   the tile before wrote the operands   restores: x, which is unsigned, is int8 again after this tile
 * x_column of ME_NE16_TURNED: bytes between rows of x; conv.row_stride: between columns of x, conv.y_stride: between
 *          rows of y
 * unit_results   of me_ne16_requantise: results of a unit, whose sums are in their order
 * b, y     of `finish`: addend, and results if they are not conv.y
 * rest     of me_ne16_rest: weights, channels and scratch of the units that the cores compute */
struct me_ne16_jobs_tile {
    me_ne16_places at;
    const me_ne16_range *ranges;
    const me_ne16_placed_job *jobs;
    const me_ne16_shape *shapes;
    const me_ne16_copy *copies;
    int32_t range_count, unit_bytes;
    me_conv_s8_tile conv;
    int32_t ninth, has_scratch, restores, x_column, unit_results;
    const int8_t *b;
    int8_t *y;
    struct {
        const int8_t *weights;
        const me_channel *channels;
        int8_t *scratch;
    } rest;
    me_next_tile next;
};

/* Linear layer or convolution, int8 [h][w][c] -> [oh][ow][k]: y = clip8(((sum of (x + 128) * weights) * scale + bias)
 * >> shift), then the table, then what `finish` computes. Weights of 2 to 8 bits; scale 0 to 65,535 (0 to 255
 * of a byte), shift 0 to 30; products and sums stay inside int32. Barriers are inside. */
void me_ne16_jobs(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile);

/* Data of a tile that the DMA brings: its ranges, with their end, jobs, shapes and copies; after the layer's op; after the tile
 * itself, if it is the layer's only one. */
#define ME_NE16_TABLE(range_count, job_count, shape_count, copy_count) \
    me_ne16_range ranges[range_count]; \
    me_ne16_placed_job jobs[job_count]; \
    me_ne16_shape shapes[shape_count]; \
    me_ne16_copy copies[copy_count];
#define ME_NE16_JOBS(range_count, job_count, shape_count, copy_count) \
    struct { \
        ME_NE16_TABLE(range_count, job_count, shape_count, copy_count) \
    }
#define ME_NE16_JOBS_WITH_OP(range_count, job_count, shape_count, copy_count) \
    struct { \
        me_ne16_jobs_params op; \
        ME_NE16_TABLE(range_count, job_count, shape_count, copy_count) \
    }
#define ME_NE16_JOBS_WITH_TILE_WITH_OP(range_count, job_count, shape_count, copy_count) \
    struct { \
        me_ne16_jobs_tile tile; \
        me_ne16_jobs_params op; \
        ME_NE16_TABLE(range_count, job_count, shape_count, copy_count) \
    }

/* Number of units of a tile. */
static inline int32_t me_ne16_units_of(const me_ne16_jobs_tile *tile)
{
    return tile->ranges[tile->range_count].first;
}

/* A `finish`: replaces the results of a range by their entries in the layer's table, if there is one, and
 * copies eight of nine results to y. */
void me_ne16_finish_bytes(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile,
                          const me_ne16_range *range);

/* A `prepare`: the rows or columns of the padded input that earlier units did not need. */
void me_ne16_pad(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile, const me_ne16_range *range);

/* A `prepare`: the windows of these results. There is a barrier inside with ME_NE16_COPIES. */
void me_ne16_copy_windows(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile,
                          const me_ne16_range *range);

/* A `prepare`: the range's copies. */
void me_ne16_copy_pieces(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile,
                         const me_ne16_range *range);

/* A `prepare`: converts the range's rows of x. */
void me_ne16_prepare_rows(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile,
                          const me_ne16_range *range);

#endif
