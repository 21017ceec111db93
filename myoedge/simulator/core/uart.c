// SPDX-License-Identifier: Apache-2.0
// UARTs of the uDMA, byte by byte: a byte leaves L2 as its start bit is sent, and is on the record
// with the cycle in which its stop bit ends. A byte that comes in is there with its last data bit.
#include <stdlib.h>

#include "devices.h"

enum {
    RX_CHANNEL = 0x00,
    TX_CHANNEL = 0x04,
    CLEAR = 0x10,
    STATUS = 0x20,
    SETUP = 0x24,
    ERROR = 0x28,
    EVENTS = 0x2c,
    SETUP_2 = 0x38,
    UART_BYTES = 0x80,
    FIRST_PERIPHERAL = 4
};
enum { PARITY = 1 << 0, TWO_STOPS = 1 << 3, TX_ON = 1 << 8, RX_ON = 1 << 9, CTS_ON = 1 << 10 };
enum { CLEAR_RX = 1 << 1, OVERFLOWN = 1, EVENT_RX = 1, EVENT_ERROR = 2, EVENT_TX = 4 };
enum { SOC_EVENT_RX = 84, SOC_EVENT_TX = 85, SOC_EVENT_ERROR = 86, SOC_EVENTS_A_UART = 3 };
enum { FIRST_ROOM = 4096 };

static Uart *uart(Machine *m, uint32_t n) { return &m->devices->peripherals.uart[n]; }

Cycle periph_cycles(const Machine *m, uint64_t periods)
{
    const uint32_t clock = m->chip.periph_clock_x256;
    return (periods * 256 * periph_periods(m) + clock - 1) / clock;
}

// Of a byte: start, data, parity and stop bits.
static Cycle byte_cycles(const Machine *m, const Uart *u)
{
    const uint32_t bits =
        1 + 5 + (u->setup >> 1 & 3) + (u->setup & PARITY ? 1 : 0) + (u->setup & TWO_STOPS ? 2 : 1);
    return periph_cycles(m, (uint64_t)bits * ((u->setup >> 16) + 1));
}

static void signal_event(Machine *m, uint32_t n, uint32_t enable, uint32_t event, Cycle at)
{
    if (uart(m, n)->events & enable) soc_event(m, event + SOC_EVENTS_A_UART * n, at);
}

// ---- out

static void send(Machine *m, uint32_t n, Cycle at)
{
    Uart *u = uart(m, n);
    if (u->busy || !(u->setup & TX_ON) || !udma_left(m, u->tx)) return;
    if (u->setup & CTS_ON && at < u->stalled_until) {
        due_at(m, DUE_UART + (int)n, u->stalled_until);
        return;
    }
    u->busy = true;
    due_at(m, DUE_UART + (int)n, at + byte_cycles(m, u));
    udma_take(m, u->tx, &u->byte, 1, at);
}

static void record(Machine *m, uint32_t n, uint8_t byte)
{
    Line *line = &m->devices->peripherals.line;
    if (line->used == line->room) {
        const size_t room = line->room ? 2 * line->room : FIRST_ROOM;
        LineByte *grown = realloc(line->bytes, room * sizeof *grown);
        if (!grown) fault(m, -1, FAULT_MEMORY, 0, 0, "no memory left for the bytes of the UARTs");
        line->bytes = grown;
        line->room = room;
    }
    line->bytes[line->used++] = (LineByte){m->now, n, byte};
}

void uart_due(Machine *m, int which)
{
    const uint32_t n = (uint32_t)(which - DUE_UART);
    Uart *u = uart(m, n);
    if (u->busy) {
        u->busy = false;
        record(m, n, u->byte);
        signal_event(m, n, EVENT_TX, SOC_EVENT_TX, m->now);
    }
    send(m, n, m->now);
}

// ---- in

static void deliver(Machine *m, Uart *u, Cycle at)
{
    uint32_t done = 0;
    while (done < u->received && udma_left(m, u->rx))
        udma_put(m, u->rx, &u->fifo[done++], 1, at);
    u->received -= done;
    for (uint32_t k = 0; k < u->received; k++)
        u->fifo[k] = u->fifo[k + done];
}

void uart_receive(Machine *m, uint32_t n, uint8_t byte, Cycle at)
{
    Uart *u = uart(m, n);
    if (!(u->setup & RX_ON)) return;
    if (u->received < UART_FIFO) {
        u->fifo[u->received++] = byte;
        deliver(m, u, at);
        signal_event(m, n, EVENT_RX, SOC_EVENT_RX, at);
        return;
    }
    u->error |= OVERFLOWN;
    signal_event(m, n, EVENT_ERROR, SOC_EVENT_ERROR, at);
}

Cycle uart_byte_cycles(Machine *m, uint32_t n) { return byte_cycles(m, uart(m, n)); }

void uart_go_on(Machine *m, uint32_t n, Cycle at)
{
    deliver(m, uart(m, n), at);
    send(m, n, at);
}

// ---- registers

static Uart *uart_of(const Access *a)
{
    const uint32_t n = a->offset / UART_BYTES;
    udma_check(a, FIRST_PERIPHERAL + n, "a UART");
    return uart(a->c->m, n);
}

uint32_t uart_load(const Access *a)
{
    Uart *u = uart_of(a);
    const uint32_t error = u->error;
    switch (a->offset % UART_BYTES) {
    case RX_CHANNEL: return u->rx;
    case TX_CHANNEL: return u->tx;
    case STATUS: return u->busy;
    case SETUP: return u->setup;
    case EVENTS: return u->events;
    case SETUP_2: return u->setup_2;
    case ERROR: u->error = 0; return error;
    default: no_register(a);
    }
}

void uart_store(const Access *a, uint32_t value)
{
    Uart *u = uart_of(a);
    switch (a->offset % UART_BYTES) {
    case RX_CHANNEL: u->rx = value & 0xff; break;
    case TX_CHANNEL: u->tx = value & 0xff; break;
    case SETUP: u->setup = value; break;
    case EVENTS: u->events = value; break;
    case SETUP_2: u->setup_2 = value; break;
    case CLEAR:
        if (value & CLEAR_RX) u->received = 0;
        break;
    default: no_register(a);
    }
    udma_changed(a->c->m, a->c->t);
}
