// SPDX-License-Identifier: Apache-2.0
// The uDMA: clocks and resets of its peripherals, and the linear channels that move their bytes
// from and to L2. A peripheral asks for bytes as it needs them; the channel's event says that it
// has come to the end of a buffer.
#include <string.h>

#include "devices.h"

// Clocks and (low: in) resets by peripheral, some by setting bits.
enum {
    CLOCK = 0x00,
    CLOCK_SET = 0x04,
    CLOCK_CLEAR = 0x08,
    RESET = 0x0c,
    RESET_SET = 0x10,
    RESET_CLEAR = 0x14
};

static Udma *udma(Machine *m) { return &m->devices->peripherals.udma; }

uint32_t udma_load(const Access *a) { return udma(a->c->m)->control[a->offset / 4]; }

void udma_store(const Access *a, uint32_t value)
{
    uint32_t *control = udma(a->c->m)->control;
    switch (a->offset) {
    case CLOCK_SET: control[CLOCK / 4] |= value; break;
    case CLOCK_CLEAR: control[CLOCK / 4] &= ~value; break;
    case RESET_SET: control[RESET / 4] |= value; break;
    case RESET_CLEAR: control[RESET / 4] &= ~value; break;
    default: control[a->offset / 4] = value; break;
    }
}

bool udma_has_clock(Machine *m, uint32_t peripheral) { return udma(m)->control[CLOCK / 4] >> peripheral & 1; }

void udma_check(const Access *a, uint32_t peripheral, const char *what)
{
    Machine *m = a->c->m;
    if (udma_has_clock(m, peripheral) && udma(m)->control[RESET / 4] >> peripheral & 1) return;
    fault(m, a->c->id, FAULT_REGISTER, pc_of(m, a->i), a->address,
          "a register of %s, which has no clock or is in reset", what);
}

// ---- linear channels

enum {
    FIRST_BUFFER = 0x00,
    SECOND_BUFFER = 0x04,
    SIZE = 0x08,
    NOW_AT = 0x14,
    LEFT = 0x18,
    CONTROL = 0x1c,
    CHANNEL_BYTES = 0x20
};
enum { IN_TURN = 1, ENABLE = 2, STOP = 16 };

static UdmaChannel *channel_of(const Access *a)
{
    return &udma(a->c->m)->channel[a->offset / CHANNEL_BYTES % UDMA_CHANNELS];
}

static void begin(UdmaChannel *c, uint32_t address, uint32_t bytes)
{
    c->address = address;
    c->left = bytes;
}

// A buffer is done: what follows it.
static void ended(Machine *m, uint32_t id, Cycle at)
{
    UdmaChannel *c = &udma(m)->channel[id];
    if (c->queued_bytes) begin(c, c->queued, c->queued_bytes);
    else if (c->in_turn) {
        c->second = !c->second;
        begin(c, c->buffer[c->second], c->size);
    }
    c->queued_bytes = 0;
    soc_event(m, id, at);
}

uint32_t udma_left(Machine *m, uint32_t id) { return id < UDMA_CHANNELS ? udma(m)->channel[id].left : 0; }

uint32_t udma_take(Machine *m, uint32_t id, uint8_t *to, uint32_t bytes, Cycle at)
{
    UdmaChannel *c = &udma(m)->channel[id];
    if (bytes > c->left) bytes = c->left;
    memcpy(to, memory_at(m, c->address, bytes), bytes);
    c->address += bytes;
    c->left -= bytes;
    if (bytes && !c->left) ended(m, id, at);
    return bytes;
}

uint32_t udma_put(Machine *m, uint32_t id, const uint8_t *from, uint32_t bytes, Cycle at)
{
    UdmaChannel *c = &udma(m)->channel[id];
    if (bytes > c->left) bytes = c->left;
    memcpy(memory_at(m, c->address, bytes), from, bytes);
    memory_written(m, c->address, bytes);
    c->address += bytes;
    c->left -= bytes;
    if (bytes && !c->left) ended(m, id, at);
    return bytes;
}

void udma_changed(Machine *m, Cycle at)
{
    for (uint32_t n = 0; n < UARTS; n++)
        uart_go_on(m, n, at);
    for (uint32_t n = 0; n < SPIS; n++)
        spi_go_on(m, n, at);
}

static void check_buffer(const Access *a, uint32_t address, uint32_t bytes)
{
    const Chip *chip = &a->c->m->chip;
    const uint32_t offset = address - chip->l2_base;
    if (!bytes) misused(a, FAULT_DMA, "a uDMA transfer of no bytes");
    if (offset >= chip->l2_bytes || bytes > chip->l2_bytes - offset)
        misused(a, FAULT_DMA, "a uDMA transfer that is not all inside L2");
}

static void start(const Access *a, UdmaChannel *c, uint32_t value)
{
    check_buffer(a, c->buffer[0], c->size);
    c->in_turn = value & IN_TURN;
    if (c->in_turn) check_buffer(a, c->buffer[1], c->size);
    if (c->queued_bytes) misused(a, FAULT_DMA, "a third transfer of one uDMA channel");
    if (c->left) {
        c->queued = c->buffer[0];
        c->queued_bytes = c->size;
        return;
    }
    c->second = false;
    begin(c, c->buffer[0], c->size);
    udma_changed(a->c->m, a->c->t);
}

static void control(const Access *a, UdmaChannel *c, uint32_t value)
{
    if (value & STOP) {
        c->left = c->queued_bytes = 0;
        c->in_turn = false;
    } else if (value & ENABLE) start(a, c, value);
}

uint32_t udma_channel_load(const Access *a)
{
    const UdmaChannel *c = channel_of(a);
    switch (a->offset % CHANNEL_BYTES) {
    case FIRST_BUFFER: return c->buffer[0];
    case SECOND_BUFFER: return c->buffer[1];
    case SIZE: return c->size;
    case NOW_AT: return c->address;
    case LEFT: return c->left;
    case CONTROL: return (c->left ? ENABLE : 0) | (c->in_turn ? IN_TURN : 0);
    default: no_register(a);
    }
}

void udma_channel_store(const Access *a, uint32_t value)
{
    UdmaChannel *c = channel_of(a);
    switch (a->offset % CHANNEL_BYTES) {
    case FIRST_BUFFER: c->buffer[0] = value; break;
    case SECOND_BUFFER: c->buffer[1] = value; break;
    case SIZE: c->size = value & 0xfffff; break;
    case CONTROL: control(a, c, value); break;
    default: no_register(a);
    }
}
