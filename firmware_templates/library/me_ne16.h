/* SPDX-License-Identifier: Apache-2.0
 * NE16, the convolution engine of GAP9's cluster: a job is its 24 registers, in their order: six addresses, and its shape
 * (docs/developers/ne16.md). Operands lie in L1. Off the chip, and with
 * -DME_NE16_IN_C, the same jobs run in C.
 */
#ifndef ME_NE16_H
#define ME_NE16_H

#include <stdint.h>

/* Fields of `config`. Activations are unsigned bytes. Weights have b bits with an offset of 2^(b - 1),
 * stored as bit planes. */
#define ME_NE16_WEIGHT_BITS(bits) ((uint32_t)(bits) - 1u)
#define ME_NE16_WIDE_INPUT (1u << 3) /* 16-bit activations; not with ME_NE16_DEPTHWISE or _LINEAR */
#define ME_NE16_NORMALISE (1u << 4)
#define ME_NE16_MODE (3u << 5)
#define ME_NE16_DEPTHWISE (1u << 5) /* without one of the following: 3x3 filters */
#define ME_NE16_1X1 (2u << 5)
#define ME_NE16_LINEAR (6u << 5) /* 1x1 on a single pixel, see below */
#define ME_NE16_SCALE_SHIFT 12 /* two bits: log2 of the bytes per scale, 1, 2 or 4 */
#define ME_NE16_STREAM_IN (1u << 14) /* sums start from the values at y; only with ME_NE16_INT32 */
#define ME_NE16_INT32 (2u << 21) /* 4-byte results; without ME_NE16_NORMALISE they are the sums */
#define ME_NE16_SIGNED (1u << 23)
#define ME_NE16_SHIFTS (1u << 24)
#define ME_NE16_BIAS (1u << 25)

/* x_pixel, x_row, y_pixel, y_row: byte strides of pixels and rows; y_group: byte stride of groups of
 * eight 4-byte results. A channel's parameters: the sum is multiplied by its scale, its bias is added,
 * and the result is shifted right by its shift.
 * last_*   of the last tile: (outputs << 16) | inputs, (rows << 16) | columns; 0 for a whole tile
 * tiles_*  numbers of tiles: of 32 outputs and 16 bytes of inputs, of 3 rows and 3 columns, packed likewise; depthwise
 *          jobs have as many outputs as inputs, 16 in a tile
 * weight_channel: bytes from output to output within a tile; tiles of outputs are one after the other
 * Linear jobs have one pixel, x_pixel is 16; 256 inputs in a tile, of the last one multiples of 16, counted in
 * 16; weights are planes of all inputs, lowest bit first, output by output. */
typedef struct {
    const uint8_t *weights, *x;
    int8_t *y;
    const uint8_t *scales, *shifts;
    const int32_t *biases;
} me_ne16_places;

typedef struct {
    uint32_t x_pixel, x_row, x_unused, y_group, y_pixel, y_row, weight_plane, weight_channel, weight_unused;
    uint32_t last_channels, last_outputs, last_inputs, tiles_channels, tiles_pixels, padding;
    int32_t weight_offset;
    uint32_t filter_mask, config;
} me_ne16_shape;

typedef struct {
    me_ne16_places at;
    me_ne16_shape shape;
} me_ne16_job;

/* Called by one core. Writes the registers of a job, its addresses and the others; waits if two jobs are
 * already queued. Returns the job's number, for me_ne16_wait. */
int32_t me_ne16_program(const me_ne16_places *at, const me_ne16_shape *shape);

/* Starts the job whose registers were written, or queues it after the running one. */
void me_ne16_trigger(void);

/* Writes the registers of a job and starts it. Returns its number. */
static inline int32_t me_ne16_start(const me_ne16_job *job)
{
    const int32_t number = me_ne16_program(&job->at, &job->shape);
    me_ne16_trigger();
    return number;
}

/* Starts the job before the last one again; its registers are still in the engine. */
int32_t me_ne16_start_again(const me_ne16_job *job);

/* Returns when job `number` has ended. */
void me_ne16_wait(int32_t number);

/* Whether job `number` has ended, for a core that also waits for another event. */
int32_t me_ne16_has_ended(int32_t number);

#endif
