/* SPDX-License-Identifier: Apache-2.0
 * One step of some units of a plain recurrent layer, which keep no state but h.
 */
#ifndef ME_RNN_UNITS_H
#define ME_RNN_UNITS_H

#include "me_recurrent_rows.h"

void me_rnn_units(const me_units *some);
void me_rnn_wide_units(const me_units *some); /* h, weights and y of int16 */

#endif
