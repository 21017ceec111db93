/* SPDX-License-Identifier: Apache-2.0
 * Linear layers and convolutions on NE16, of int8 operands in L1: jobs whose results the engine requantises. Cores
 * 0 .. 7 call a layer together. They arrange a job's operands in scratch as unsigned bytes while the engine runs
 * the job before, core 0 starts the jobs, and all finish the results of a job while the next one runs.
 */
#ifndef ME_NE16_JOBS_H
#define ME_NE16_JOBS_H

#include "me_elementwise.h"
#include "me_gemm.h"
#include "me_ne16_arrange.h"
#include "me_ne16_layer.h"

/* Requantisation of the sum of x - x_zero over `reduced` columns of results; each: one channel, whose
 * bias is not read */
typedef struct {
    int32_t reduced, x_zero;
    const me_channel *each;
    me_scale scale;
} me_row_mean;

/* form, with the mode of the jobs (ME_NE16_1X1, ME_NE16_DEPTHWISE, or 0 for 3x3 filters):
 *   ME_NE16_RUN     units are results in a row, not rows of results. A 3x3 job treats them as rows of three, so that
 *                   the nine taps of a filter follow each other
 *   ME_NE16_TURNED  rows of the convolution are columns of x and y
 *   ME_NE16_PHASES  a job has every phases_h-th row and phases_w-th column of the results: the engine moves from tap
 *                   to tap as from result to result. As many jobs as there are phases have all results
 *   ME_NE16_INT32   results are sums, which `finish` requantises; only 1x1 jobs of results in a row
 *   ME_NE16_COPIES  me_ne16_copy_windows copies from a copy of the input with its padding */
enum { ME_NE16_RUN = 1, ME_NE16_TURNED = 2, ME_NE16_PHASES = 4, ME_NE16_COPIES = 8 };

/* conv     sizes, strides, x_zero and scale.table; of rows of bytes only the table; all of it if `beside` needs it
 * step     bytes between the operands of neighbouring results   inputs: of a pixel of a job
 * k        outputs of the whole layer   scale_bytes, weight_bits, parameters: of me_ne16_outputs
 * prepare, finish, beside   of me_ne16_layer; without `finish`, results are looked up in the table, if there is one
 * add      of me_ne16_add: a is the layer's result   mean: of me_ne16_mean */
typedef struct {
    me_conv_s8_params conv;
    uint32_t form;
    int32_t step, inputs, k, scale_bytes, weight_bits, phases_h, phases_w;
    const uint8_t *parameters;
    me_ne16_units *prepare, *finish;
    me_ne16_on_cores *beside;
    union {
        me_add_s16_params add;
        me_row_mean mean;
    };
} me_ne16_jobs_params;

/* conv     weights are bit planes of outputs first_k .. first_k + conv.k - 1; y: results of the jobs; channels,
 *          scratch are unused; padded: operands of the jobs, x itself if they are made unsigned in place
 * units    rows of results, or results, that the engine computes: first_units in the first job, units_at_a_time in
 *          each other one; in 3x3 jobs of a run multiples of 3 * phases_w
 * ninth    eight units are computed as nine, in scratch after the operands
 * has_scratch   the tile before wrote the operands   restores: x, which is unsigned, is int8 again after this tile
 * x_column, y_row   of ME_NE16_TURNED: bytes between rows of x and between columns of y; conv.row_stride: between
 *          columns of x, conv.y_stride: between rows of y
 * b, y     of `finish`: addend, and results if they are not conv.y
 * rest     of me_ne16_rest: weights, channels and scratch of the units that the cores compute */
typedef struct {
    me_conv_s8_tile conv;
    int32_t first_k, units, first_units, units_at_a_time, ninth, has_scratch, restores, x_column, y_row;
    const int8_t *b;
    int8_t *y;
    struct {
        const int8_t *weights;
        const me_channel *channels;
        int8_t *scratch;
    } rest;
    me_next_tile next;
} me_ne16_jobs_tile;

/* Linear layer or convolution, int8 [h][w][c] -> [oh][ow][k]: y = clip8(((sum of (x + 128) * weights) * scale + bias)
 * >> shift), then the table, then what `finish` computes. Weights of weight_bits, 2 to 8; scale 0 to 65,535 (0 to 255
 * of a byte), shift 0 to 30; products and sums stay inside int32. Barriers are inside. */
void me_ne16_jobs_layer(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile, me_ne16_layer *layer);

/* Where the job that starts at unit `first`, or the job before it, writes its results. Sums of jobs alternate between two
 * buffers. */
int8_t *me_ne16_results(const me_ne16_layer *layer, int32_t first);

/* Replaces the results of units [first, end) by their entries in the layer's table, if there is one, and
 * copies eight of nine results to y. */
void me_ne16_finish_bytes(const me_ne16_layer *layer, int32_t first, int32_t end);

#endif
