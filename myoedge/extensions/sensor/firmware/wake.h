/* SPDX-License-Identifier: Apache-2.0
 * The gate of [wake]: the network runs only on windows with enough energy, and on those after them.
 */
#ifndef ME_WAKE_H
#define ME_WAKE_H

#include <stdbool.h>

#include "sensor_network.h"

/* After the start or a gap, the first ME_WAKE_HOLD windows run. */
void me_wake_restart(void);

/* -> whether the network runs on this window */
bool me_wake_window(const me_sample *window);

/* -> whether the network did not run on the last window */
bool me_wake_rests(void);

#endif
