/* SPDX-License-Identifier: Apache-2.0
 * Bytes that move and do not change, within L1: copies, axes in another order, constants. Cores
 * 0 .. 7 call together, each moves its share. From and to do not overlap.
 */
#ifndef ME_MOVE_H
#define ME_MOVE_H

#include <stdint.h>

/* `rows` pieces of `bytes`, from_step and to_step bytes from the start of one to that of the next:
 * concatenation, slices, the inside of padding. Rows of one length at any address; best aligned. */
typedef struct {
    const int8_t *from;
    int8_t *to;
    int32_t rows, bytes, from_step, to_step;
} me_moves;

void me_move_run(const me_moves *moves);

/* The same pieces of `to`, all of one value. */
void me_fill_run(const me_moves *moves, int8_t value);

/* A result put together of parts; fills: what none of them covers has the value. */
#define ME_PARTS 8
typedef struct {
    int32_t fills, value;
} me_joined;

typedef struct {
    int8_t *y;
    int32_t bytes, parts;
    me_moves part[ME_PARTS];
} me_joined_tile;

void me_joined_run(const me_joined *op, const me_joined_tile *tile);

/* to [extent 0][extent 1]... contiguous in the order of the loops, outermost first; a turn of a loop
 * moves `from` by its step, which may be 0 or negative. Loops that could be one should be (see
 * operators/loops.py). Fastest where the innermost step is 1, then where that of some other loop is. */
#define ME_AXES 6
typedef struct {
    const int8_t *from;
    int8_t *to;
    int32_t loops; /* 1 .. ME_AXES */
    int32_t extent[ME_AXES], step[ME_AXES];
} me_permute;

void me_permute_run(const me_permute *permute);

#endif
