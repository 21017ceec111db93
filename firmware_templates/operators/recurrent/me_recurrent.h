/* SPDX-License-Identifier: Apache-2.0
 * LSTM, GRU and Elman RNN with operands in L1. A generated kernel instantiates one of the bodies below with
 * the constants of its cell. Cores 0 .. 7 call it and share the units of a step.
 *
 * All cells: units, batch, steps at least 1; channels: mult 0 to 32,767, shift 0 to 30, pre 0 to 20;
 * factors of states and results (h_*, c_*, x_*, y_*): mult 0 to 32,767, shift 0 to 30; result_shift 1 to
 * 30. All sums stay inside int32; results are rounded to nearest. Gates are int16;
 * docs/developers/integer-semantics.md has the formulas. h, weights and h of all steps in y have the same
 * type. states, weights and channels are aligned to 4.
 *
 * Gates are stored unit by unit: four (input, forget, cell, output), three (reset, update, new) or one.
 * Weights are packed: each unit has one row per gate; for each word of columns, one word per row; zeros
 * fill the last word. There is one channel per gate.
 */
#ifndef ME_RECURRENT_H
#define ME_RECURRENT_H

#include <stdint.h>

#include "me_scale.h"

/* row_bytes    bytes per vector h, a multiple of 4
 * reverse  whether steps go from the last to the first
 * puts_state   whether y is the state after the last step, c or a GRU's 16-bit h
 * h0_wide, c0_wide, y_wide   whether h0, c0 and a state in y are int16
 * h0, c0   [batch][units], with their factors: read at the first step
 * states   for each sequence, two vectors h and int16 [units], padded to words, which stay in L1 from
 *          tile to tile; twice this size for cells that reset h first; then, for NE16, a 4-byte sum for
 *          each gate of the engine's units
 * result_shift     int16 or scaled LSTM: right shift from Q30 to h
 * new_*    int16 GRU: requantisation of its new gate
 * gate_bits, cell_bits   scaled LSTM: fraction bits of the gates' sums, 8, 10 or 14, and of c, 5 to 15;
 *          other LSTMs use 10 and 11
 * relu, x_*, y_*   Elman layers: their activation function, and the requantisation of gates and results
 * engine_units, weight_bits, planes   number of units whose products NE16 computes, a multiple of 8 and
 *          fewer than all; bits per weight, 2 to 8; their weights as bit planes: for each gate and each
 *          bit, the lowest first, one byte per 8 inputs, with units padded to a multiple of 16.
 *          `weights` has the other units; the channels' biases include -128 times the sum of a row of
 *          weights
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
 * done     number of steps before these */
typedef struct {
    const int16_t *gates;
    int8_t *y;
    int32_t steps, done;
} me_recurrent_tile;

/* Some of the units in one step, for a layer whose weights do not fit in L1: the weights of the first
 * units stay in L1, those of the other units are loaded with each tile, in every step.
 * gates, y        as above, of the step
 * weights, channels   of the units [first, first + units)
 * resident_first, resident_end   units of this tile whose weights stay in L1
 * done            number of steps before this one
 * starts, ends    whether this is the first, or the last tile of the layer */
typedef struct {
    const int16_t *gates;
    int8_t *y;
    const int8_t *weights;
    const me_channel *channels;
    int32_t first, units, resident_first, resident_end, done, starts, ends;
} me_recurrent_streamed_tile;

#endif
