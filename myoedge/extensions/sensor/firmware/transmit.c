/* SPDX-License-Identifier: Apache-2.0 */
#include "transmit.h"

#include <stdbool.h>

#include "sensor.h"
#include "sensor_network.h"
#include "sensor_port.h"

static uint8_t line[ME_LINE_BYTES] ME_SENSOR_DMA;
static me_packet queue[ME_QUEUE_PACKETS];
static volatile uint32_t first, waiting;
static volatile bool sending;

static me_packet *place(uint32_t number) { return &queue[(first + number) % ME_QUEUE_PACKETS]; }

static void send_next(void)
{
    sending = waiting > 0;
    if (!sending)
        return;
    me_port_uart_start(line, me_packet_end(place(0), line));
    first = (first + 1) % ME_QUEUE_PACKETS;
    waiting--;
}

void me_sensor_sent(void)
{
    if (sending && !me_port_uart_sends())
        send_next();
}

void me_transmit_look(void)
{
    me_port_interrupts(false);
    me_sensor_sent();
    me_port_interrupts(true);
}

static uint32_t events(uint32_t number) { return place(number)->flags & ME_FLAGS_OF_EVENTS; }

/* Moves the packets before this one up by one place. If all have flags of events, the second one inherits
 * those of the first. */
static void drop_oldest(void)
{
    uint32_t dropped = 0;
    while (dropped < waiting && events(dropped))
        dropped++;
    if (dropped == waiting) {
        dropped = 0;
        place(1)->flags |= events(0);
    }
    for (; dropped > 0; dropped--)
        *place(dropped) = *place(dropped - 1);
    first = (first + 1) % ME_QUEUE_PACKETS;
    waiting--;
}

void me_transmit(me_packet *packet)
{
    static uint32_t sequence;
    me_packet_sequence(packet, sequence);
    sequence = (sequence + 1) & 0xFFFFu;
    me_port_interrupts(false);
    if (waiting == ME_QUEUE_PACKETS)
        drop_oldest();
    *place(waiting) = *packet;
    waiting++;
    if (!sending)
        send_next();
    me_port_interrupts(true);
}
