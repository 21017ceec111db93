/* SPDX-License-Identifier: Apache-2.0 */
#include "receive.h"

#include <stdbool.h>

#include "packet.h"
#include "sensor.h"
#include "sensor_network.h"
#include "sensor_port.h"

#ifdef ME_ADAPTS
#include "labels.h"
#endif

enum { CRC_BYTES = 2, FULL_RUN = 255, AT_ONCE = 16 };

static uint8_t message[ME_MESSAGE_BYTES];
static uint32_t count, left; /* bytes of the message so far; bytes until the next code */
static bool is_started, is_full, is_too_long;

static void put(uint8_t byte)
{
    if (count < sizeof message)
        message[count++] = byte;
    else
        is_too_long = true;
}

static bool is_right(void)
{
    if (is_too_long || left > 0 || count <= CRC_BYTES)
        return false;
    const uint32_t crc = message[count - 2] | (uint32_t)message[count - 1] << 8;
    return me_crc16(message, count - CRC_BYTES) == crc;
}

static void pass_on(uint32_t bytes)
{
#ifdef ME_ADAPTS
    if (message[0] == ME_COMMAND_MESSAGE) {
        me_labels_command(message, bytes);
        return;
    }
#endif
    me_received(message, bytes);
}

/* Ignores empty frames: a sender may begin with a 0. */
static void end_frame(void)
{
    if (is_started && is_right())
        pass_on(count - CRC_BYTES);
    else if (is_started)
        me_received_broken();
    count = left = 0;
    is_started = is_full = is_too_long = false;
}

/* A code n precedes n - 1 bytes; a 0 follows the run, except after a run of 254 bytes. */
static void take(uint8_t byte)
{
    if (byte == 0) {
        end_frame();
    } else if (left == 0) {
        if (is_started && !is_full)
            put(0);
        is_started = true;
        is_full = byte == FULL_RUN;
        left = byte - 1u;
    } else {
        put(byte);
        left--;
    }
}

void me_sensor_received(void)
{
    uint8_t bytes[AT_ONCE];
    for (uint32_t n; (n = me_port_uart_receive(bytes, sizeof bytes)) > 0;)
        for (uint32_t i = 0; i < n; i++)
            take(bytes[i]);
}
