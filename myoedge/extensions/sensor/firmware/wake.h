/* SPDX-License-Identifier: Apache-2.0
 * The gate of [wake]: the network runs only on windows that reach a limit, and on those after them.
 */
#ifndef ME_WAKE_H
#define ME_WAKE_H

#include <stdbool.h>

#include "sensor_network.h"

/* After the start or a gap, the first ME_WAKE_HOLD windows run. */
void me_wake_restart(void);

/* -> whether the network runs on the next window
 * above   whether the window reaches the limit */
bool me_wake_needs(bool above);

/* Counts a window. */
void me_wake_take(bool above);

/* -> whether the network did not run on the last window */
bool me_wake_rests(void);

#ifdef ME_WAKES_BY_ENERGY
/* -> whether the window has enough energy */
bool me_wake_is_above(const me_sample *window);
#else
/* Lets the gate end runs of the network. */
void me_wake_open(void);

/* -> whether the output of the last run reached the limit */
bool me_wake_was_above(void);
#endif

#endif
