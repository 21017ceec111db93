/* SPDX-License-Identifier: Apache-2.0
 * A layer's tile on NE16 as several jobs: while the engine runs one, the cores prepare the operands of
 * the next, and finish the results of the one before.
 */
#ifndef ME_NE16_LAYER_H
#define ME_NE16_LAYER_H

#include "me_ne16.h"

typedef struct me_ne16_layer me_ne16_layer;

/* A job of units [first, end) of a layer: keys, or columns. */
typedef void me_ne16_units(const me_ne16_layer *layer, int32_t first, int32_t end);
typedef void me_ne16_job_of_units(const me_ne16_layer *layer, int32_t first, int32_t end, me_ne16_job *job);

/* `units` units, at_a_time in each job
 * prepare  called by all cores; cores 1 .. 7 prepare the job's operands while core 0 writes the job
 * finish   called by all cores after the job has ended and before the job after the next starts; 0:
 *          nothing to finish
 * job      makes the job of these units, from op
 * op       argument of these functions */
struct me_ne16_layer {
    int32_t units, at_a_time;
    me_ne16_units *prepare, *finish;
    me_ne16_job_of_units *job;
    const void *op;
};

/* Computes a layer. Cores 0 .. 7 call it together, with a copy each. */
void me_ne16_run(const me_ne16_layer *layer);

/* Converts int8 rows [first, end) of c values to uint8. A word that two rows share belongs to the earlier
 * row. */
void me_ne16_unsigned_rows(const int8_t *x, uint8_t *to, int32_t c, int32_t first, int32_t end);

/* Bytes of each bit plane's 8 bits for an int8 weight vector of n inputs: n up to a multiple of 16. */
static inline int32_t me_ne16_plane_bytes(int32_t n) { return (n + 15) / 16 * 16; }

/* Sets up a 1x1 job of k outputs whose int8 weights are packed by the cores, each me_ne16_plane_bytes(inputs) long, and
 * whose results are 32-bit sums; its pixels are set separately. flags: added to the job's configuration */
void me_ne16_packed_job(const uint8_t *planes, int32_t k, int32_t inputs, uint32_t flags, me_ne16_job *job);

/* Sets a 1x1 job to n pixels in a row, `step` bytes apart, with y_step bytes between results. The job has
 * three runs of pixels, which overlap if n is not a multiple of 3. */
void me_ne16_set_run(me_ne16_job *job, int32_t n, int32_t step, int32_t y_step);

#endif
