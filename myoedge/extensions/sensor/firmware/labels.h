/* SPDX-License-Identifier: Apache-2.0
 * Sessions of adaptation by commands of the line (ME_COMMAND_MESSAGE of receive.h):
 *   u8 kind, u8 version (1), u8 command, u8 0, u16 argument
 * Each is answered by a packet (ME_ADAPTED of packet.h) when it has been carried out.
 */
#ifndef ME_LABELS_H
#define ME_LABELS_H

#include <stdint.h>

/* begin   begins a session; the argument is the method of me_adapt.h
 * label   windows of which all samples come after this command have the class of the argument, until the
 *         next command; ME_NO_LABEL: none; answered by -1 outside a session, or for an unknown class
 * end     ends the session; answered by 1 if the new classifier is in force
 * reset   restores the network as built */
enum { ME_COMMAND_BEGIN = 1, ME_COMMAND_LABEL = 2, ME_COMMAND_END = 3, ME_COMMAND_RESET = 4 };

#define ME_NO_LABEL 0xFFFFu
#define ME_PSEUDO_LABEL 0xFFFEu /* pseudo-labels: the network's confident decisions */

/* Queues a command message. Called in an interrupt. */
void me_labels_command(const uint8_t *message, uint32_t bytes);

/* Executes the queued commands; called by the main loop. */
void me_labels_serve(void);

/* The window of the last inference begins with this sample. */
void me_labels_window(uint32_t first_sample);

#endif
