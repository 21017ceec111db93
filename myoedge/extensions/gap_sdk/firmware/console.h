/* SPDX-License-Identifier: Apache-2.0
 * Frames over a serial line. The host sends requests, the board answers; docs/developers/gap-sdk.md has the
 * layout:
 *   a5 5a 4d 45, kind, number, size (16 bits), payload, CRC-32 from kind on; little-endian
 */
#ifndef ME_CONSOLE_H
#define ME_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#define ME_FRAME_BYTES 1032u /* maximum payload: an address and 1 KiB, rounded up */

typedef struct {
    uint8_t kind, number;
    uint16_t size;
    uint8_t payload[ME_FRAME_BYTES];
} me_frame;

/* Waits for a frame, skipping bytes outside frames. -> whether it is undamaged */
bool me_console_receive(me_frame *frame);

void me_console_send(const me_frame *frame);

#endif
