/* SPDX-License-Identifier: Apache-2.0
 * Messages that come in on the line: COBS frames ended by 0, as those that go out.
 *   u8 kind, u8 version (1), content, u16 CRC over all before it
 */
#ifndef ME_RECEIVE_H
#define ME_RECEIVE_H

#include <stdint.h>

enum { ME_SAMPLE_MESSAGE = 16, ME_COMMAND_MESSAGE = 17 }; /* received kinds; sent kinds are in packet.h */

/* A received message without its CRC, which was correct. Called in an interrupt. */
void me_received(const uint8_t *message, uint32_t bytes);

/* A frame with a wrong CRC, COBS encoding or length was received. Called in an interrupt. */
void me_received_broken(void);

#endif
