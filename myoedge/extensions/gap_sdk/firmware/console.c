/* SPDX-License-Identifier: Apache-2.0 */
#ifdef ME_UART
#include "console.h"

#include <string.h>

#include "line.h"
#include "port.h"

#define HEAD_BYTES 8u

static const uint8_t magic[4] = { 0xA5, 0x5A, 'M', 'E' };
static PI_L2 uint8_t bytes[HEAD_BYTES + ME_FRAME_BYTES + 4]; /* buffer of a frame; the uDMA needs L2 */

/* CRC-32 as in zlib and Ethernet. */
static uint32_t crc32(const uint8_t *data, uint32_t count)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (uint32_t i = 0; i < count; i++) {
        crc ^= data[i];
        for (int32_t bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1u)));
    }
    return ~crc;
}

/* CRC of kind, number, size and payload, which follow the magic. */
static uint32_t crc_of_frame(uint32_t size)
{
    return crc32(bytes + sizeof magic, HEAD_BYTES - sizeof magic + size);
}

static void find_magic(void)
{
    for (uint32_t found = 0; found < sizeof magic;) {
        me_line_read(bytes, 1);
        found = bytes[0] == magic[found] ? found + 1 : bytes[0] == magic[0];
    }
}

bool me_console_receive(me_frame *frame)
{
    uint32_t crc;
    find_magic();
    me_line_read(bytes + sizeof magic, HEAD_BYTES - sizeof magic);
    frame->kind = bytes[4];
    frame->number = bytes[5];
    frame->size = (uint16_t)(bytes[6] | bytes[7] << 8);
    if (frame->size > ME_FRAME_BYTES)
        return false;
    me_line_read(bytes + HEAD_BYTES, frame->size + sizeof crc);
    memcpy(frame->payload, bytes + HEAD_BYTES, frame->size);
    memcpy(&crc, bytes + HEAD_BYTES + frame->size, sizeof crc);
    return crc == crc_of_frame(frame->size);
}

void me_console_send(const me_frame *frame)
{
    const uint8_t head[4] = { frame->kind, frame->number, (uint8_t)frame->size, (uint8_t)(frame->size >> 8) };
    memcpy(bytes, magic, sizeof magic);
    memcpy(bytes + sizeof magic, head, sizeof head);
    memcpy(bytes + HEAD_BYTES, frame->payload, frame->size);
    const uint32_t crc = crc_of_frame(frame->size);
    memcpy(bytes + HEAD_BYTES + frame->size, &crc, sizeof crc);
    me_line_send(bytes, HEAD_BYTES + frame->size + sizeof crc);
}
#endif
