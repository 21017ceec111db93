/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels behind me_gemm_s8.c. Each has two bodies: me_gemm_s8_block.S for GAP9's cores by any
 * RISC-V assembler (-DME_GAP9), me_gemm_s8_block.c in C, which is the meaning, for hosts and for the
 * SDK's compiler (-DME_SDK).
 */
#ifndef ME_GEMM_S8_BLOCK_H
#define ME_GEMM_S8_BLOCK_H

#include <stdint.h>

#include "me_scale.h"

/* Pixels times channels, in blocks of P x C (P and C 1 .. 4):
 *   x         P pointers for every group of pixels: `steps` words of taps each, x_step bytes apart
 *   rows      P numbers for every group, added to the sums of each pixel; or 0
 *   weights   for every block of C channels, for every step: C words
 *   channels  C for every block
 *   y         of the first pixel and the first channel; y_stride bytes from pixel to pixel
 *   low, high the limits, the same in all four bytes
 *   limits    they are other than those of int8
 * steps, groups and blocks are at least 1. me_gemm_s8_block.S knows these offsets. */
typedef struct {
    const int8_t *const *x;
    const int32_t *rows;
    const int8_t *weights;
    const me_channel *channels;
    int8_t *y;
    int32_t y_stride, steps, groups, blocks, pre;
    uint32_t low, high;
    int32_t limits, x_step;
} me_block;

typedef void me_block_kernel(const me_block *block);

/* One group of one pixel, blocks of 8 channels, each packed as two of 4. */
void me_block_1x8(const me_block *block);

/* indexed by me_block_kernels[P - 1][C - 1] */
extern me_block_kernel *const me_block_kernels[4][4];

/* Windows, from_step bytes apart, each to a place of its own, to_step bytes apart; four at a time,
 * 4 * groups in all. A window is `pieces` pieces of 4 * words + rest bytes (rest 0 .. 3), with `skip`
 * bytes between them that are left out. Nothing else is read or written. from_next and to_next lead
 * from the end of a group's first window, skip included, to the next group. me_gemm_s8_block.S knows
 * these offsets. */
typedef struct {
    const int8_t *from;
    int32_t from_step;
    int8_t *to;
    int32_t to_step, pieces, words, rest, skip, groups, from_next, to_next;
} me_windows;

void me_copy_windows(const me_windows *windows);

/* Interleaves four rows, `stride` bytes apart, word by word; `words` >= 1 words of each. sum[4 * i]: sum
 * of all bytes of row i. -> the end of what was written */
int8_t *me_interleave_rows(const int8_t *b, int32_t stride, int32_t words, int8_t *to, int32_t *sum);

/* As me_interleave_rows for four adjacent columns of a matrix with 4 * words rows. */
int8_t *me_interleave_columns(const int8_t *b, int32_t stride, int32_t words, int8_t *to, int32_t *sum);

/* Sums of all bytes in `words` words of each of the four rows x[0] .. x[3]. */
void me_sum_rows(const int8_t *const *x, int32_t words, int32_t *sum);

#endif
