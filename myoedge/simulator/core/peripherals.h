// SPDX-License-Identifier: Apache-2.0
// State of what lies outside the cluster and is slow: it shares one actor. Part of devices.h.
#pragma once

enum { UARTS = 4 }; // the fifth is where pulp-open has its hyper

// ---- peripherals.c: what is to happen when
enum Due { DUE_INTERRUPT, DUE_UART, DUES = DUE_UART + UARTS };
void due_at(Machine *m, int which, Cycle when); // replaces an earlier plan; NEVER: none
void peripherals_due(Machine *m);
void peripherals_new(Machine *m);
void peripherals_free(Machine *m);

// ---- soc_events.c
enum { SOC_FIFO = 8, SOC_EVENT_WORDS = 8, SOC_MASKS = 3 * SOC_EVENT_WORDS };
enum { IRQ_SOC_EVENT = 26, IRQ_EVENT_LOST = 29 };
typedef struct {
    uint32_t mask[SOC_MASKS]; // of controller, cluster and uDMA; a bit hides an event
    uint32_t error[SOC_EVENT_WORDS];
    uint8_t fifo[SOC_FIFO];
    uint32_t first, used;
} SocEvents;
void soc_event(Machine *m, uint32_t event, Cycle at);
uint32_t soc_event_taken(Machine *m, Cycle at); // the oldest in the FIFO, 0: none
uint32_t soc_events_load(const Access *a);
void soc_events_store(const Access *a, uint32_t value);

// ---- udma.c
enum { UDMA_CHANNELS = 64, UDMA_OFF = 0xff };
typedef struct {
    uint32_t buffer[2], size; // as written
    uint32_t address, left;   // of the transfer under way; left 0: none
    uint32_t queued, queued_bytes;
    bool in_turn, second;     // continuous mode; which of its buffers
} UdmaChannel;
typedef struct {
    uint32_t control[UDMA_WORDS];
    UdmaChannel channel[UDMA_CHANNELS];
} Udma;
bool udma_has_clock(Machine *m, uint32_t peripheral);
void udma_check(const Access *a, uint32_t peripheral, const char *what); // clock and reset
uint32_t udma_left(Machine *m, uint32_t channel);
// How many bytes the channel had, or had room for.
uint32_t udma_take(Machine *m, uint32_t channel, uint8_t *to, uint32_t bytes, Cycle at);
uint32_t udma_put(Machine *m, uint32_t channel, const uint8_t *from, uint32_t bytes, Cycle at);
uint32_t udma_load(const Access *a);
void udma_store(const Access *a, uint32_t value);
uint32_t udma_channel_load(const Access *a);
void udma_channel_store(const Access *a, uint32_t value);

// ---- uart.c
enum { UART_FIFO = 8 };
typedef struct {
    uint32_t rx, tx, setup, setup_2, events, error;
    bool busy;
    uint8_t byte; // under way
    Cycle stalled_until; // the other side holds CTS high
    uint8_t fifo[UART_FIFO];
    uint32_t received;
} Uart;
typedef struct {
    Cycle cycle; // in which its stop bit ends
    uint32_t uart, byte;
} LineByte;
typedef struct {
    LineByte *bytes;
    size_t used, room;
} Line;
uint32_t uart_load(const Access *a);
void uart_store(const Access *a, uint32_t value);
void uart_due(Machine *m, int which);
void uart_receive(Machine *m, uint32_t uart, uint8_t byte, Cycle at);
Cycle uart_byte_cycles(Machine *m, uint32_t uart);
void uarts_go_on(Machine *m, Cycle at);                      // a channel or a register has changed
Cycle periph_cycles(const Machine *m, uint64_t periods);     // of so many periods of the peripherals' clock

typedef struct {
    Cycle due[DUES];
    SocEvents events;
    Udma udma;
    Uart uart[UARTS];
    Line line;
} Peripherals;
