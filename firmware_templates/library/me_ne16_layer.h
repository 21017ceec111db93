/* SPDX-License-Identifier: Apache-2.0
 * A layer's tile on NE16 as several jobs: while the engine runs one, the cores prepare the operands of
 * the next, and finish the results of the one before.
 */
#ifndef ME_NE16_LAYER_H
#define ME_NE16_LAYER_H

#include "me_ne16.h"
#include "me_next_tile.h"

/* k outputs of a job.
 * inputs        input channels
 * weight_bytes  bytes per bit plane, for an output and 16 inputs
 * weight_bits   bits of a weight, 2 to 8 */
typedef struct {
    const uint8_t *weights;
    int32_t k, inputs, weight_bytes, weight_bits;
} me_ne16_outputs;

typedef struct me_ne16_layer me_ne16_layer;

/* A job of units [first, end) of a layer: rows or pixels. */
typedef void me_ne16_units(const me_ne16_layer *layer, int32_t first, int32_t end);
typedef void me_ne16_job_of_units(const me_ne16_layer *layer, int32_t first, int32_t end, me_ne16_job *job);
typedef int32_t me_ne16_start_units(const me_ne16_layer *layer, int32_t first, int32_t end);

/* `units` units: first_units in the first job, at_a_time in each later one
 * job      makes the job of these units, from op and tile
 * start_others  called by core 0 after it has started that job: starts the remaining jobs of these
 *          units, at least one, and returns the number of the last; 0: one job per unit
 * prepare  called by all cores; cores 1 .. 7 prepare the job's operands while core 0 writes the job; 0:
 *          nothing to prepare
 * finish   called by all cores after the job has ended and before the job after the next starts; 0:
 *          nothing to finish
 * op, tile arguments of these functions
 * next     the layer of the next tile, whose first job may start before this one ends because its operands are
 *          prepared already; 0: none
 * first    the job of the first units; 0: core 0 makes it while the other cores prepare its operands */
struct me_ne16_layer {
    int32_t units, first_units, at_a_time;
    me_ne16_units *prepare, *finish;
    me_ne16_job_of_units *job;
    me_ne16_start_units *start_others;
    const void *op, *tile;
    const me_next_tile *next;
    me_ne16_outputs outputs;
    const me_ne16_job *first;
};

/* The layers of the current and of the next tile, used alternately. A kernel's <name>_layer fills one from
 * its arguments. */
extern me_ne16_layer me_ne16_layers[2];

/* Writes the first job into a tile's layer. Called by the core that writes a kernel's arguments, while the
 * other cores still compute the tile before. */
void me_ne16_keep_first_job(me_ne16_layer *layer);

/* Computes a layer. Cores 0 .. 7 call it together, with one shared layer or with a copy each. */
void me_ne16_run(const me_ne16_layer *layer);

/* Converts int8 rows [first, end) of c values to uint8. A word that two rows share belongs to the earlier
 * row. */
void me_ne16_unsigned_rows(const int8_t *x, uint8_t *to, int32_t c, int32_t first, int32_t end);

/* Sets up a job for these outputs, whose results are 32-bit sums; its pixels are set separately.
 * config: ME_NE16_1X1, or 0 */
void me_ne16_sums_job_of(const me_ne16_outputs *outputs, uint32_t config, me_ne16_job *job);

/* Bytes of each bit plane's 8 bits for an int8 weight vector of n inputs: n up to a multiple of 16. */
static inline int32_t me_ne16_plane_bytes(int32_t n) { return (n + 15) / 16 * 16; }

/* As me_ne16_sums_job_of, for a 1x1 job of k outputs whose int8 weights are packed by the cores, each
 * me_ne16_plane_bytes(inputs) long. flags: added to the job's configuration */
static inline void me_ne16_packed_job(const uint8_t *planes, int32_t k, int32_t inputs, uint32_t flags,
                                      me_ne16_job *job)
{
    const me_ne16_outputs outputs = {
        .weights = planes, .k = k, .inputs = inputs, .weight_bytes = 2, .weight_bits = 8
    };
    me_ne16_sums_job_of(&outputs, ME_NE16_1X1 | flags, job);
}

/* Sets a 1x1 job to n pixels in a row, `step` bytes apart, with y_step bytes between results. The job has
 * three runs of pixels, which overlap if n is not a multiple of 3. */
void me_ne16_set_run(me_ne16_job *job, int32_t n, int32_t step, int32_t y_step);

/* Sets a job to an image of rows x columns results. reach: 2 for 3x3 jobs, 0 for 1x1 jobs */
void me_ne16_set_image(me_ne16_job *job, int32_t rows, int32_t columns, int32_t reach);

#endif
