/* SPDX-License-Identifier: Apache-2.0
 * Data movement within L1: copies, transpositions, constants. Cores 0 .. 7 call a kernel together, and each
 * moves its share. `from` and `to` must not overlap.
 */
#ifndef ME_LAYOUT_H
#define ME_LAYOUT_H

#include <stdint.h>

/* `rows` pieces of `bytes`, from_step and to_step bytes from the start of one piece to the next: for concatenation,
 * slices and the inside of padding. Rows of one length at any address; fastest if aligned. */
typedef struct {
    const int8_t *from;
    int8_t *to;
    int32_t rows, bytes, from_step, to_step;
} me_copy_part;

/* A result that is composed of parts. fills: elements outside all parts get `value`, a word of four equal
 * bytes or two equal halves. */
#define ME_PARTS 8
typedef struct {
    int32_t fills, value;
} me_copy_s8_params;

typedef struct {
    int8_t *y;
    int32_t bytes, parts;
    me_copy_part part[ME_PARTS];
} me_copy_s8_tile;

/* Copies parts of tensors of any element type: concatenation, slices, padding with a constant. parts 0 to
 * ME_PARTS, bytes >= 0; y is aligned to 4 if it is filled with halves. With op->fills there is a barrier
 * between filling and copying; otherwise there is none. */
void me_copy_s8(const me_copy_s8_params *op, const me_copy_s8_tile *tile);

/* `to` is contiguous, [extent 0][extent 1].., with the outermost loop first. Each iteration of loop d
 * advances `from` by step[d], which may be 0 or negative. Loops that can be merged should be (see
 * operators/loops.py). Fastest if the innermost step is 1, otherwise if another loop's step is 1. */
#define ME_AXES 6
typedef struct {
    const int8_t *from;
    int8_t *to;
    int32_t loops; /* 1 .. ME_AXES */
    int32_t extent[ME_AXES], step[ME_AXES];
} me_transpose_s8_tile;

/* me_transpose_s8 has no parameters. */
typedef struct {
    int32_t unused;
} me_transpose_s8_params;

/* Permutes axes of int8, with slices and repetitions: to[i0][i1].. = from[i0 * step 0 + i1 * step 1 + ..].
 * loops 1 to ME_AXES, extents at least 1, any address; there is no barrier inside. */
void me_transpose_s8(const me_transpose_s8_params *op, const me_transpose_s8_tile *tile);

typedef struct {
    const int16_t *from;
    int16_t *to;
    int32_t loops; /* 1 .. ME_AXES */
    int32_t extent[ME_AXES], step[ME_AXES];
} me_transpose_s16_tile;

typedef me_transpose_s8_params me_transpose_s16_params;

/* As me_transpose_s8 for int16, with steps in elements. Moves single elements along the longest loop; the
 * same ranges. */
void me_transpose_s16(const me_transpose_s16_params *op, const me_transpose_s16_tile *tile);

#endif
