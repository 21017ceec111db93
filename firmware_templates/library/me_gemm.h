/* SPDX-License-Identifier: Apache-2.0
 * Convolution, linear layer and matrix product of int8 operands in L1. Cores 0 .. 7 call a kernel
 * together and share its work; none has a barrier at the end.
 *
 * Results of all: y = clip((((acc >> pre) * mult) + offset) >> shift), then the table; pre 0 to 20, mult 0 to
 * 32,767, shift 0 to 30 (me_scale.h). acc stays inside int32. Extents and counts are at least 1.
 *
 * Where a tile has `kernel_waits`, its operands may not have come yet: each core waits for them when it
 * has prepared what it can (ME_READY).
 *
 * Weights are packed: for every four channels (the last may be fewer), for every four taps, a word
 * a channel. Taps run over kernel rows, columns, input channels; zeros fill the last word. Weights,
 * channels and scratch are aligned to 4; x and y need not be, but it is faster. Nothing outside the
 * operands is read or written.
 */
#ifndef ME_GEMM_H
#define ME_GEMM_H

#include <stdint.h>

#include "me_scale.h"

/* c: input channels. Padding has the value x_zero.
 * narrow: kernel rows of k_w * c = 3 taps are filled to a word each by a zero in the weights, those of
 * 4 are one; then windows are read in place in tile.padded. For dilation_w = 1 only.
 * in_place: windows of one piece each are read in place, across words: in tile.padded, or in x
 * if they are inside it and whole words long
 * together: windows of many taps are gathered once, by all cores; narrow and in_place are 0. What a gathered window has
 * after its last tap is multiplied by zeros */
typedef struct {
    int32_t c, k_h, k_w, stride_h, stride_w, dilation_h, dilation_w, x_zero;
    me_scale scale;
    int32_t narrow, in_place, together;
} me_conv_s8_params;

/* x        rows x cols x c that exist, row_stride bytes between rows
 * pad_*    how far the first output's window starts above and left of x; what windows reach beyond
 *          x on any side is padding
 * weights  and channels packed for k channels
 * y        oh x ow x k, y_stride bytes between pixels
 * scratch  me_gemm_scratch_bytes of c * k_h * k_w taps; may be 0 if every window is in x in
 *          one piece (k_h and k_w are 1, say), starts at a multiple of 4 and is one long; if together
 *          me_gemm_row_stride of the taps for each of the oh * ow windows
 * padded   me_conv_padded_bytes for x with its padding: where channels are few, that is faster than
 *          windows over edges one by one; otherwise 0 */
typedef struct {
    const int8_t *x;
    int32_t h, w, pad_top, pad_left, row_stride;
    const int8_t *weights;
    const me_channel *channels;
    int8_t *y;
    int32_t oh, ow, k, y_stride;
    int8_t *scratch, *padded;
    int32_t kernel_waits;
} me_conv_s8_tile;

/* Convolution, channels last, int8 [h][w][c] -> [oh][ow][k]: acc = bias[k] + sum of x * weights over the window,
 * padding being x_zero, -128 to 127. Windows, strides, dilations and pads are of any size. A barrier is inside
 * where tile->padded or op->together is set. */
void me_conv_s8(const me_conv_s8_params *conv, const me_conv_s8_tile *tile);

/* x: rows of c bytes, x_stride bytes apart; y: k channels, y_stride bytes between rows
 * scratch as above with c taps: needed unless x, x_stride and c are multiples of 4
 * nine_cores: core 8 calls the kernel as well; only where no scratch is needed */
typedef struct {
    int32_t c;
    me_scale scale;
    int32_t nine_cores;
} me_linear_s8_params;

typedef struct {
    const int8_t *x;
    int32_t rows, x_stride;
    const int8_t *weights;
    const me_channel *channels;
    int8_t *y;
    int32_t k, y_stride;
    int8_t *scratch;
    int32_t kernel_waits;
} me_linear_s8_tile;

/* Linear layer, int8 [rows][c] -> [rows][k]: acc = bias[k] + sum of x * W over c, W packed int8 [k][c]. No barrier
 * is inside but the wait for operands. */
void me_linear_s8(const me_linear_s8_params *linear, const me_linear_s8_tile *tile);

typedef me_linear_s8_params me_linear_in_place_s8_params;
typedef me_linear_s8_tile me_linear_in_place_s8_tile;

/* The linear layer without scratch, slower: int8 rows of any length at any address, the same integers and ranges.
 * kernel_waits is not read; no barrier is inside. */
void me_linear_in_place_s8(const me_linear_in_place_s8_params *linear,
                           const me_linear_in_place_s8_tile *tile);

/* a_zero, b_zero: -128 .. 127; mult, offset, shift: of all results
 * b_transposed: b is given as [n][c]
 * nine_cores: core 8 calls the kernel as well; only where a, a_stride and c are multiples of 4 */
typedef struct {
    int32_t c, a_zero, b_zero, b_transposed, mult, offset, shift;
    me_scale scale;
    int32_t nine_cores;
} me_matmul_s8_params;

/* strides: bytes between rows, as the operands are in L1; scratch: me_matmul_scratch_bytes bytes, or as many
 * less as me_gemm_scratch_bytes says where a, a_stride and c are multiples of 4
 * packed: scratch has b from the tile before, of the same columns */
typedef struct {
    const int8_t *a, *b;
    int32_t m, n, a_stride, b_stride;
    int8_t *y;
    int32_t y_stride;
    int8_t *scratch;
    int32_t packed, kernel_waits;
} me_matmul_s8_tile;

/* Matrix product of two int8 activations, int8 [m][n]: acc = sum over c of (a[m][c] - a_zero) *
 * (b[c][n] - b_zero). Unless b is packed already, a barrier is inside after b is packed, and one more where few
 * columns are packed in parts. */
void me_matmul_s8(const me_matmul_s8_params *matmul, const me_matmul_s8_tile *tile);

typedef me_matmul_s8_params me_matmul_in_place_s8_params;

/* Products of a [batches][m][c] and b [batches][c][n], whose results the cores share: the faster way for many
 * small products. a_step, b_step: bytes between two of the operand, 0 if all take the same; b_stride: bytes
 * between rows of b; y [batches][m][n] */
typedef struct {
    const int8_t *a, *b;
    int8_t *y;
    int32_t batches, m, n, a_step, b_step, b_stride;
} me_matmul_in_place_s8_tile;

/* The matrix product without scratch: int8 operands at any address, the same integers and ranges. nine_cores is
 * not read; no barrier is inside. */
void me_matmul_in_place_s8(const me_matmul_in_place_s8_params *matmul,
                           const me_matmul_in_place_s8_tile *tile);

/* Bytes of a row of `taps`, filled to words. */
static inline int32_t me_gemm_row_bytes(int32_t taps) { return (taps + 3) & ~3; }

/* Bytes between gathered rows: an odd number of words, so that rows start in different banks. */
static inline int32_t me_gemm_row_stride(int32_t taps) { return me_gemm_row_bytes(taps) | 4; }

/* How many pixels a core gathers at a time: 4 to 16 that take 2 KiB at most, if it can, and as many
 * as 32 where they take 1 KiB: L1 may be small. */
static inline int32_t me_gemm_pixels(int32_t taps)
{
    const int32_t row = me_gemm_row_bytes(taps), few = 256 / row, many = 512 / row;
    const int32_t groups = few > 4 ? few : many > 4 ? 4 : many;
    return 4 * (groups < 1 ? 1 : groups > 8 ? 8 : groups);
}

static inline int32_t me_gemm_scratch_bytes(int32_t taps)
{
    return 8 * me_gemm_pixels(taps) * me_gemm_row_stride(taps);
}

/* The rows and columns that n windows reach over. */
static inline int32_t me_conv_span(int32_t n, int32_t kernel, int32_t stride, int32_t dilation)
{
    return (n - 1) * stride + (kernel - 1) * dilation + 1;
}

static inline int32_t me_conv_padded_bytes(const me_conv_s8_params *conv, int32_t oh, int32_t ow)
{
    const int32_t rows = me_conv_span(oh, conv->k_h, conv->stride_h, conv->dilation_h);
    const int32_t columns = me_conv_span(ow, conv->k_w, conv->stride_w, conv->dilation_w);
    return me_gemm_row_bytes(rows * columns * conv->c) + 4;
}

static inline int32_t me_matmul_scratch_bytes(int32_t c, int32_t n)
{
    return n * (me_gemm_row_bytes(c) + (int32_t)sizeof(me_channel)) + me_gemm_scratch_bytes(c);
}

#endif
