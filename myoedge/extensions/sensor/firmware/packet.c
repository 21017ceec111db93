/* SPDX-License-Identifier: Apache-2.0 */
#include "packet.h"

enum { VERSION = 1, SEQUENCE_AT = 2, FLAGS_AT = 12, MOST_RUN = 254 };

static void put_u16(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

void me_packet_u8(me_packet *packet, uint8_t value) { packet->bytes[packet->count++] = value; }

void me_packet_u16(me_packet *packet, uint32_t value)
{
    put_u16(packet->bytes + packet->count, value);
    packet->count += 2;
}

void me_packet_u32(me_packet *packet, uint32_t value)
{
    me_packet_u16(packet, value & 0xFFFFu);
    me_packet_u16(packet, value >> 16);
}

void me_packet_begin(me_packet *packet, me_packet_kind kind, uint32_t frame, uint32_t time_us)
{
    packet->count = packet->flags = 0;
    me_packet_u8(packet, (uint8_t)kind);
    me_packet_u8(packet, VERSION);
    me_packet_u16(packet, 0); /* sequence */
    me_packet_u32(packet, time_us);
    me_packet_u32(packet, frame);
    me_packet_u16(packet, 0); /* flags */
}

void me_packet_sequence(me_packet *packet, uint32_t sequence)
{
    put_u16(packet->bytes + SEQUENCE_AT, sequence);
}

uint32_t me_packet_end(me_packet *packet, uint8_t *line)
{
    put_u16(packet->bytes + FLAGS_AT, packet->flags);
    me_packet_u16(packet, me_crc16(packet->bytes, packet->count));
    return me_cobs(packet->bytes, packet->count, line);
}

uint32_t me_crc16(const uint8_t *bytes, uint32_t count)
{
    uint32_t crc = 0xFFFFu;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t x = (crc >> 8) ^ bytes[i];
        x ^= x >> 4;
        crc = (crc << 8 ^ x << 12 ^ x << 5 ^ x) & 0xFFFFu;
    }
    return crc;
}

uint32_t me_cobs(const uint8_t *bytes, uint32_t count, uint8_t *to)
{
    uint32_t code = 0, next = 1; /* where the length of the current run is, and the next byte */
    for (uint32_t i = 0; i < count; i++) {
        if (bytes[i] != 0)
            to[next++] = bytes[i];
        if (bytes[i] == 0 || next - code > MOST_RUN) {
            to[code] = (uint8_t)(next - code);
            code = next++;
        }
    }
    to[code] = (uint8_t)(next - code);
    to[next++] = 0;
    return next;
}
