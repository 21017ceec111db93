/* SPDX-License-Identifier: Apache-2.0
 * The bare chip's port to the line: a UART.
 */
#include "port_gap9.h"

#include <stdbool.h>

#include "clock.h"
#include "sensor.h"
#include "sensor_network.h"
#include "sensor_port.h"

#define UART_BASE (0x1A102280u + 0x80u * ME_SENSOR_UART)
#define UART_DEVICE (4u + ME_SENSOR_UART)
#define DIVIDER ((ME_PERIPH_HZ + ME_SENSOR_BAUD_RATE / 2) / ME_SENSOR_BAUD_RATE - 1)
#define TRANSMITS (1u << 8)
#define EIGHT_BITS (3u << 1)
#ifdef ME_LINE_RECEIVES
#define RECEIVES (1u << 9)
#else
#define RECEIVES 0u
#endif
enum { RX_CHANNEL = 0x00, TX_CHANNEL = 0x04, SETUP = 0x24, EVENTS = 0x2C };

void me_port_uart_start(const uint8_t *bytes, uint32_t count)
{
    me_channel_start(ME_CHANNEL_UART_TX, bytes, count);
}

bool me_port_uart_sends(void)
{
    return ME_REG(ME_CHANNEL(ME_CHANNEL_UART_TX) + ME_CHANNEL_CONTROL) & ME_CHANNEL_GO;
}

#ifdef ME_LINE_RECEIVES
#define BYTE_EVENT (84u + 3u * ME_SENSOR_UART)
enum { EVENT_OF_BYTES = 1 };

/* A ring of two halves, which the uDMA fills alternately. */
static uint8_t ring[256];
static uint32_t next;

static void open_receiver(void)
{
    ME_REG(UART_BASE + RX_CHANNEL) = ME_CHANNEL_UART_RX;
    ME_REG(UART_BASE + EVENTS) = EVENT_OF_BYTES;
    ME_REG(ME_CHANNEL(ME_CHANNEL_UART_RX) + ME_CHANNEL_ADDRESS) = (uint32_t)(uintptr_t)ring;
    ME_REG(ME_CHANNEL(ME_CHANNEL_UART_RX) + ME_CHANNEL_ADDRESS_2) =
        (uint32_t)(uintptr_t)(ring + sizeof ring / 2);
    ME_REG(ME_CHANNEL(ME_CHANNEL_UART_RX) + ME_CHANNEL_BYTES) = sizeof ring / 2;
    ME_REG(ME_CHANNEL(ME_CHANNEL_UART_RX) + ME_CHANNEL_CONTROL) = ME_CHANNEL_GO | ME_CHANNEL_IN_TURN;
    me_event_hear(BYTE_EVENT);
}

/* At the end of the ring or of its first half, the uDMA may not have started the next half yet. */
static uint32_t received_end(void)
{
    const uint32_t at = ME_REG(ME_CHANNEL(ME_CHANNEL_UART_RX) + ME_CHANNEL_NOW_AT);
    return (at - (uint32_t)(uintptr_t)ring) % sizeof ring;
}

uint32_t me_port_uart_receive(uint8_t *bytes, uint32_t most)
{
    const uint32_t at = received_end();
    uint32_t count = 0;
    __asm__ volatile("" ::: "memory"); /* the bytes are in memory */
    for (; next != at && count < most; next = (next + 1) % sizeof ring)
        bytes[count++] = ring[next];
    return count;
}

/* Bytes that come meanwhile are handled at once: at low clocks an interrupt takes longer than a byte. */
static void receive(void)
{
    do {
        me_event_ignore(BYTE_EVENT);
        me_sensor_received();
        me_event_hear(BYTE_EVENT);
    } while (next != received_end());
}
#endif

/* Events of bytes may fill the queue of eight, so that the event of a packet's end is lost: the end is looked
 * for after theirs too. */
void me_port_line_event(uint32_t event)
{
#ifdef ME_LINE_RECEIVES
    if (event == BYTE_EVENT) {
        receive();
        me_sensor_sent();
    }
#endif
    if (event == ME_CHANNEL_UART_TX)
        me_sensor_sent();
}

void me_port_open_line(void)
{
    me_device_open(UART_DEVICE);
    ME_REG(UART_BASE + TX_CHANNEL) = ME_CHANNEL_UART_TX;
    ME_REG(UART_BASE + SETUP) = DIVIDER << 16 | TRANSMITS | RECEIVES | EIGHT_BITS;
    me_event_hear(ME_CHANNEL_UART_TX);
#ifdef ME_LINE_RECEIVES
    open_receiver();
#endif
}
