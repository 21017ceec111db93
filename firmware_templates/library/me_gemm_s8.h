/* SPDX-License-Identifier: Apache-2.0
 * Products of pixels and channels, divided among the cores: the common part of convolution, linear layer
 * and matrix product. Blocks of 4 x 4 sums are in me_gemm_s8_block.h.
 */
#ifndef ME_GEMM_S8_H
#define ME_GEMM_S8_H

#include "me_gemm_s8_windows.h"

/* The results of all pixels: k channels each, y_stride bytes from pixel to pixel. weights and channels are
 * packed (see me_gemm.h). */
typedef struct {
    int32_t k, y_stride;
    const int8_t *weights;
    const me_channel *channels;
    int8_t *y;
    const me_scale *scale;
} me_gemm_results;

typedef struct me_gemm me_gemm;

/* Each core calls it before it first reads the operands. It clears gemm->prepare. */
typedef void me_gemm_prepare_step(me_gemm *gemm);

/* b_zero   zero point of the operand that is used as weights
 * number of cores that share the work: 8 or 9
 * kernel_waits  whether operands may still be in transfer
 * prepare  me_gemm_wait, the packing of a matrix product, or 0
 * scratch  windows that are not read in place: me_gemm_scratch_bytes
 * op, tile of a matrix product */
struct me_gemm {
    me_gemm_windows windows;
    me_gemm_results results;
    int32_t b_zero, cores, kernel_waits;
    me_gemm_prepare_step *prepare;
    int8_t *scratch;
    const me_matmul_s8_params *op;
    const me_matmul_s8_tile *tile;
};

/* Computes this core's share of the results. */
void me_gemm_s8(me_gemm *gemm);

/* Computes this core's share with blocks of `pixels` pixels, 1 or 2, a divisor of their number. All
 * windows are read in place. */
void me_gemm_s8_small_blocks(me_gemm *gemm, int32_t block_pixels);

/* Waits for operand transfers that may still be in progress. */
void me_gemm_wait(me_gemm *gemm);

static inline me_gemm_prepare_step *me_gemm_waits(int32_t kernel_waits)
{
    return kernel_waits ? me_gemm_wait : 0;
}

static inline void me_gemm_prepare(me_gemm *gemm)
{
    if (gemm->prepare)
        gemm->prepare(gemm);
}

#endif
