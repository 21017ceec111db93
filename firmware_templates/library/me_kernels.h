/* SPDX-License-Identifier: Apache-2.0
 * The kernels under one form: <name>_run of a <name>, the same for all tiles of a layer, and a
 * <name>_tile. Operands lie in L1; all cores that compute call a kernel, and each does its part.
 */
#ifndef ME_KERNELS_H
#define ME_KERNELS_H

#include "me_attention.h"
#include "me_dense.h"
#include "me_depthwise.h"
#include "me_elementwise.h"
#include "me_wide_conv.h"
#include "me_magnitude.h"
#include "me_move.h"
#include "me_norm.h"
#include "me_pool.h"
#include "me_recurrent.h"
#include "me_rotary.h"
#include "me_softmax.h"
#include "me_spectrogram.h"

typedef me_conv me_depthwise;
typedef me_conv_tile me_depthwise_tile;
typedef struct {
    int32_t unused;
} me_pool_max;
typedef me_pool_tile me_pool_max_tile;
typedef me_pool_tile me_avg_pool_tile;

static inline void me_pool_max_run(const me_pool_max *op, const me_pool_max_tile *tile)
{
    (void)op;
    me_max_pool_run(tile);
}

typedef struct {
    int32_t reduced, x_zero;
    const me_channel *each;
    me_scale scale;
} me_sums;

typedef struct {
    const int8_t *x;
    int8_t *y;
    int32_t outer, inner;
} me_sums_tile;

static inline void me_sums_run(const me_sums *op, const me_sums_tile *tile)
{
    const me_reduce whole = { tile->outer, op->reduced, tile->inner, op->x_zero, op->each, op->scale };
    me_reduce_run(&whole, tile->x, tile->y);
}

typedef struct {
    const int8_t *x;
    void *y;
    int32_t outer, inner;
} me_rows_tile;

typedef struct {
    int32_t length;
    const uint16_t *exp;
} me_shares;
typedef me_rows_tile me_shares_tile;

static inline void me_shares_run(const me_shares *op, const me_shares_tile *tile)
{
    const me_softmax rows = { tile->outer, op->length, tile->inner, op->exp };
    me_softmax_run(&rows, tile->x, tile->y);
}

typedef struct {
    int32_t length;
    const uint16_t *exp;
    const int16_t *log;
    int32_t ln2, mult, log_mult, offset, shift, low, high;
} me_log_shares;
typedef me_rows_tile me_log_shares_tile;

static inline void me_log_shares_run(const me_log_shares *op, const me_log_shares_tile *tile)
{
    const me_log_softmax rows = {
        { tile->outer, op->length, tile->inner, op->exp }, op->log, op->ln2, op->mult, op->log_mult,
        op->offset, op->shift, op->low, op->high,
    };
    me_log_softmax_run(&rows, tile->x, tile->y);
}

typedef struct {
    int32_t length;
} me_largest;
typedef me_rows_tile me_largest_tile;

static inline void me_largest_run(const me_largest *op, const me_largest_tile *tile)
{
    const me_softmax rows = { tile->outer, op->length, tile->inner, 0 };
    me_argmax_run(&rows, tile->x, tile->y);
}

typedef me_recurrent me_lstm;
typedef me_recurrent_tile me_lstm_tile;
typedef me_recurrent me_lstm_cell;
typedef me_recurrent_tile me_lstm_cell_tile;
typedef me_recurrent me_gru;
typedef me_recurrent_tile me_gru_tile;
typedef me_recurrent me_gru_reset_first;
typedef me_recurrent_tile me_gru_reset_first_tile;
typedef me_recurrent me_gru_state;
typedef me_recurrent_tile me_gru_state_tile;
typedef me_recurrent me_gru_reset_first_state;
typedef me_recurrent_tile me_gru_reset_first_state_tile;

typedef me_pair me_add_tile;
typedef me_pair me_mul_tile;

typedef struct {
    const int8_t *table;
} me_lut;

typedef struct {
    const int8_t *x;
    int8_t *y;
    int32_t n;
} me_lut_tile;

static inline void me_lut_run(const me_lut *op, const me_lut_tile *tile)
{
    me_table_run(op->table, tile->x, tile->y, tile->n);
}

typedef struct {
    int32_t channels, x_zero;
    const me_channel *each;
    me_scale scale;
} me_scaled;

typedef struct {
    const int8_t *x;
    int8_t *y;
    int32_t outer, inner;
} me_scaled_tile;

static inline void me_scaled_run(const me_scaled *op, const me_scaled_tile *tile)
{
    const me_affine whole = { tile->outer, op->channels, tile->inner, op->x_zero, op->each, op->scale };
    me_affine_run(&whole, tile->x, tile->y);
}

typedef struct {
    int32_t unused;
} me_turned;
typedef me_permute me_turned_tile;

static inline void me_turned_run(const me_turned *op, const me_turned_tile *tile)
{
    (void)op;
    me_permute_run(tile);
}

#endif
