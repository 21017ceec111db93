/* SPDX-License-Identifier: Apache-2.0
 * Packets wait in a queue until the line is free. If the queue is full, the oldest packet without
 * flags is dropped; its number in the sequence is missing on the line.
 */
#ifndef ME_TRANSMIT_H
#define ME_TRANSMIT_H

#include "packet.h"

void me_transmit(me_packet *packet);

/* Sends the next packet if the interrupt at the end of the last one was lost. */
void me_transmit_look(void);

#endif
