/* SPDX-License-Identifier: Apache-2.0
 * Packets of the line: little-endian fields, a CRC over all before it, COBS, an ending 0.
 *   head      u8 kind, u8 version, u16 sequence, u32 time in us, u32 frame, u16 flags
 *   decision  u16 class (0xFFFF: the output has none), i16 score; without outputs while the network rests
 *   outputs   the same, then u8 bytes per value, u16 count, values
 *   status    u32 lost frames, saturated frames, SPI errors, resets, skipped passes, overruns,
 *             watchdog restarts; u64 open electrodes
 *   adapted   u8 command of labels.h, i32 what it returned
 *   start     first 8 bytes of the model's digest, u16 channels, u32 rate in mHz, u16 classes, u8
 *             cause: 1 after the watchdog
 */
#ifndef ME_PACKET_H
#define ME_PACKET_H

#include <stdint.h>

#include "sensor_network.h"

typedef enum { ME_DECISION = 1, ME_STATUS = 2, ME_START = 3, ME_OUTPUTS = 4, ME_ADAPTED = 5 } me_packet_kind;

#define ME_NO_CLASS 0xFFFFu

enum {
    ME_FLAG_LOST = 1,      /* samples were lost since the last decision */
    ME_FLAG_OPEN = 2,      /* an electrode was not connected */
    ME_FLAG_SATURATED = 4, /* a channel was at its limit */
    ME_FLAG_SPI = 8,       /* a transfer was invalid */
    ME_FLAG_RESET = 16,    /* the front end was restarted */
    ME_FLAG_SKIPPED = 32,  /* passes were skipped because the network was late */
    ME_FLAG_WATCHDOG = 64, /* first decision after a restart by the watchdog */
    ME_FLAG_RESTING = 128, /* the network did not run; all other flags are events since the last decision */
    ME_FLAGS_OF_EVENTS = 127
};

#define ME_PACKET_HEAD_BYTES 14u
#define ME_PACKET_REST_BYTES 40u /* length of a status payload, the longest one */
#define ME_PACKET_BYTES (ME_PACKET_HEAD_BYTES + ME_PACKET_REST_BYTES + ME_PACKET_VALUE_BYTES)
#define ME_LINE_BYTES \
    (ME_PACKET_BYTES + ME_PACKET_BYTES / 254u + 2u) /* maximum bytes of a packet on the line */

typedef struct {
    uint8_t bytes[ME_PACKET_BYTES];
    uint32_t count, flags;
} me_packet;

/* Header of every packet. */
void me_packet_begin(me_packet *packet, me_packet_kind kind, uint32_t frame, uint32_t time_us);

void me_packet_u8(me_packet *packet, uint8_t value);
void me_packet_u16(me_packet *packet, uint32_t value);
void me_packet_u32(me_packet *packet, uint32_t value);

void me_packet_sequence(me_packet *packet, uint32_t sequence);

/* Sets the flags of the header and adds the CRC. -> bytes written to `line` */
uint32_t me_packet_end(me_packet *packet, uint8_t *line);

/* CRC-16/CCITT-FALSE: polynomial 0x1021, start 0xFFFF, neither reflected nor inverted. */
uint32_t me_crc16(const uint8_t *bytes, uint32_t count);

/* Consistent overhead byte stuffing: no zero byte inside, one at the end. -> bytes written */
uint32_t me_cobs(const uint8_t *bytes, uint32_t count, uint8_t *to);

#endif
