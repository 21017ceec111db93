/* SPDX-License-Identifier: Apache-2.0
 * The network as the application calls it; decision.c is made for one network.
 */
#ifndef ME_DECISION_H
#define ME_DECISION_H

#include "packet.h"
#include "sensor_network.h"

/* The network's input: a window, or a frame of a stream. */
extern me_sample me_sensor_input[];

/* The decisions of a pass, ME_RESULTS values each. */
extern me_result me_sensor_results[];

/* Discards all frames of a stream. */
void me_sensor_reset(void);

/* Runs the network on the window, or adds the frame. -> number of decisions, or negative */
int me_sensor_infer(void);

/* Converts a decision to the fields of a packet. */
void me_sensor_values(me_packet *packet, const me_result *values);

#endif
