/* SPDX-License-Identifier: Apache-2.0 */
#include "transmit.h"

#include <stdbool.h>

#include "sensor.h"
#include "sensor_network.h"
#include "sensor_port.h"

/* A packet with its bytes on the line, which are made with interrupts on: they take longer than a data-ready
 * may wait. */
typedef struct {
    me_packet packet;
    uint32_t bytes;
    uint8_t line[ME_LINE_BYTES];
} me_line_packet;

enum { PLACES = ME_QUEUE_PACKETS + 1 }; /* those that wait, and the one on the line before `first` */

static me_line_packet queue[PLACES] ME_SENSOR_DMA;
static volatile uint32_t first, waiting;
static volatile bool sending;
static volatile bool is_edited; /* the queue changes: the interrupt at a packet's end leaves it alone */

static me_line_packet *place(uint32_t number) { return &queue[(first + number) % PLACES]; }

static void send_next(void)
{
    sending = waiting > 0;
    if (!sending)
        return;
    me_port_uart_start(place(0)->line, place(0)->bytes);
    first = (first + 1) % PLACES;
    waiting--;
}

void me_sensor_sent(void)
{
    if (sending && !is_edited && !me_port_uart_sends())
        send_next();
}

void me_transmit_look(void)
{
    me_port_interrupts(false);
    me_sensor_sent();
    me_port_interrupts(true);
}

static void put(me_line_packet *to, const me_packet *packet)
{
    me_packet end = *packet;
    to->packet = *packet;
    to->bytes = me_packet_end(&end, to->line);
}

static uint32_t events(uint32_t number) { return place(number)->packet.flags & ME_FLAGS_OF_EVENTS; }

/* Moves the packets after this one up by one place. If all have flags of events, the second one inherits
 * those of the first. */
static void drop_oldest(void)
{
    uint32_t dropped = 0;
    while (dropped < waiting && events(dropped))
        dropped++;
    if (dropped == waiting) {
        dropped = 0;
        me_packet heir = place(1)->packet;
        heir.flags |= events(0);
        put(place(1), &heir);
    }
    for (; dropped + 1 < waiting; dropped++)
        *place(dropped) = *place(dropped + 1);
    waiting--;
}

void me_transmit(me_packet *packet)
{
    static uint32_t sequence;
    me_packet_sequence(packet, sequence);
    sequence = (sequence + 1) & 0xFFFFu;
    is_edited = true;
    if (waiting == ME_QUEUE_PACKETS)
        drop_oldest();
    put(place(waiting), packet);
    me_port_interrupts(false);
    waiting++;
    is_edited = false;
    if (!sending || !me_port_uart_sends())
        send_next();
    me_port_interrupts(true);
}
