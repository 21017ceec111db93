/* SPDX-License-Identifier: Apache-2.0
 * LSTM, GRU and plain recurrent layers on operands in L1. A generated kernel is one of the bodies below, made for a cell
 * whose constants it states. All of cores 0 .. 7 call it and share the units of a step.
 *
 * Of all cells: units, batch, steps at least 1; channels' mult 0 to 32,767, shift 0 to 30, pre 0 to 20; factors of
 * states and results (h_*, c_*, x_*, y_*) mult 0 to 32,767, shift 0 to 30; result_shift 1 to 30. All sums stay
 * inside int32; results are rounded to nearest. Gates are int16; docs/developers/integer-semantics.md has the formulas. h,
 * weights and h of all steps in y have one type. states, weights and channels are aligned to 4.
 *
 * Gates lie unit by unit: four (input, forget, cell, output), three (reset, update, new) or one. Weights are packed:
 * for every unit a row a gate, for every word of columns a word a row; zeros fill the last word. Channels: one for
 * every gate.
 */
#ifndef ME_RECURRENT_H
#define ME_RECURRENT_H

#include <stdint.h>

#include "me_scale.h"

/* row_bytes    of a vector h, a multiple of 4
 * reverse  whether steps go from the last to the first
 * puts_state   whether y is the state after the last step, c or a GRU's 16-bit h
 * h0_wide, c0_wide, y_wide   whether h0, c0 and a state in y are int16
 * h0, c0   [batch][units], with their factors: read at the first step
 * states   two vectors h and [batch][units] int16, each filled to words, of each sequence, which stay from tile to tile;
 *          twice as much of cells with a reset; behind it for NE16 a sum of 4 bytes for each gate of the engine's units
 * result_shift     of an LSTM of int16, or a scaled one: from Q30 to h
 * new_*    of a GRU of int16: factors of its new gate
 * gate_bits, cell_bits   of a scaled LSTM: fraction bits of the gates' sums, 8, 10 or 14, and of c, 5 to 15; others
 *          have 10 and 11
 * relu, x_*, y_*   of plain layers: their function, and factors of gates and of its results
 * engine_units, weight_bits, planes   units whose products NE16 computes, a multiple of 8, fewer than all; their
 *          weights, of 2 to 8 bits: for each gate, for each bit, lowest first, a bit of every 8 inputs a byte, units up
 *          to a multiple of 16. weights are those of the other units, channels' biases less 128 times a row of weights
 * me_recurrent_rows.S knows the offsets from result_shift on. */
typedef struct {
    int32_t units, batch, row_bytes, pre;
    uint8_t reverse, puts_state, h0_wide, c0_wide, y_wide, relu;
    const int8_t *weights;
    const me_channel *channels;
    const int16_t *sigmoid, *tanh;
    const int8_t *h0, *c0;
    int8_t *states;
    int32_t h_mult, h_offset, h_shift, c_mult, c_offset, c_shift;
    int32_t x_mult, x_offset, x_shift, y_mult, y_offset, y_shift;
    int32_t result_shift;
    union {
        struct {
            int32_t new_mult, new_offset, new_shift;
        };
        struct {
            int32_t gate_bits, cell_bits;
        };
    };
    int32_t engine_units, weight_bits;
    const uint8_t *planes;
} me_recurrent_params;

/* gates    int16 [steps][batch][units][4, 3 or 1]
 * y        h of these steps, [steps][batch][units], or the state after them, [batch][units]
 * done     steps before these */
typedef struct {
    const int16_t *gates;
    int8_t *y;
    int32_t steps, done;
} me_recurrent_tile;

/* Part of the units in one step, of a layer whose weights do not fit L1: weights of the first units stay there, those of
 * the others come with each tile, in every step again.
 * gates, y        as above, of the step
 * weights, channels   of `units` units, of number `first` and those after it
 * resident_first, resident_end   units of this tile whose weights stay in L1
 * done            steps before this one
 * starts, ends    whether nothing comes before the tile, or after it */
typedef struct {
    const int16_t *gates;
    int8_t *y;
    const int8_t *weights;
    const me_channel *channels;
    int32_t first, units, resident_first, resident_end, done, starts, ends;
} me_recurrent_streamed_tile;

#endif
