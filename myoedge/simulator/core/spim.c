// SPDX-License-Identifier: Apache-2.0
// SPI masters of the uDMA: they take commands from L2, word by word, and exchange bytes with the
// device whose chip select is low. A part of a transfer has its bytes exchanged with the device as
// it begins; what has come in is in L2 when its last bit is over.
#include "devices.h"

enum {
    RX_CHANNEL = 0x00,
    TX_CHANNEL = 0x04,
    COMMAND_CHANNEL = 0x08,
    STATUS = 0x30,
    CONFIG = 0x34,
    SPI_BYTES = 0x80
};
enum { CONFIGURE, SELECT, SEND_BITS, DUMMY = 4, WAIT, TX_DATA, RX_DATA, END = 9, FULL_DUPLEX = 12 };
enum { SLAVE = 1, END_EVENT = 1, KEEP_SELECTED = 2, SOC_EVENT_END = 80, COMMAND_CYCLES = 2 };
enum { WAIT_CYCLES = 1, LEAST_BIT_FIRST = 1 << 26, FOUR_LINES = 1 << 27 };

static Spi *spi(Machine *m, uint32_t n) { return &m->devices->peripherals.spi[n]; }

static _Noreturn void no_spi(Machine *m, const Spi *s, const char *what)
{
    fault(m, -1, FAULT_DMA, 0, 0, "SPI command 0x%08x: %s", s->command, what);
}

static Cycle bits_cycles(const Machine *m, const Spi *s, uint32_t bits)
{
    return periph_cycles(m, (uint64_t)bits * (s->divider ? s->divider * m->chip.spi_divider_periods : 1));
}

static void busy(Machine *m, uint32_t n, Cycle until)
{
    spi(m, n)->busy = true;
    due_at(m, DUE_SPI + (int)n, until);
}

// ---- transfers of data

// Bytes of a word: those of a transfer from L2 have to be a whole 32-bit word.
static uint32_t word_bytes(Machine *m, const Spi *s)
{
    const uint32_t bytes = ((s->command >> 16 & 31) + 1) / 8, words = 1u << (s->command >> 21 & 3);
    if (s->command & (LEAST_BIT_FIRST | FOUR_LINES)) no_spi(m, s, "one line, highest bit first");
    if ((s->command >> 16 & 7) != 7 || bytes * words != 4)
        no_spi(m, s, "only 4 words of 8 bits a transfer, 2 of 16 or 1 of 32 are simulated");
    return bytes;
}

static bool takes(const Spi *s) { return s->kind == TX_DATA || s->kind == FULL_DUPLEX; }
static bool gives(const Spi *s) { return s->kind == RX_DATA || s->kind == FULL_DUPLEX; }

// The next part of a transfer; false: a channel has no bytes, or no room, yet.
static bool begin_part(Machine *m, uint32_t n, Cycle at)
{
    Spi *s = spi(m, n);
    uint32_t bytes = s->left < SPI_PART ? s->left : SPI_PART;
    uint8_t out[SPI_PART] = {0};
    if (gives(s) && !udma_left(m, s->rx)) return false;
    if (takes(s) && udma_left(m, s->tx) < bytes) bytes = udma_left(m, s->tx);
    if (!bytes) return false;
    if (takes(s)) udma_take(m, s->tx, out, bytes, at);
    for (uint32_t k = 0; k < bytes; k++) {
        const uint32_t in_memory = k ^ (s->word_bytes - 1);
        s->part[in_memory] = front_end_exchange(m, n, s->selected, out[in_memory], at);
    }
    s->part_bytes = bytes;
    s->left -= bytes;
    busy(m, n, at + bits_cycles(m, s, 8 * bytes));
    return true;
}

static void end_part(Machine *m, uint32_t n)
{
    Spi *s = spi(m, n);
    const uint32_t bytes = s->part_bytes;
    s->part_bytes = 0;
    if (gives(s) && bytes && udma_put(m, s->rx, s->part, bytes, m->now) < bytes)
        no_spi(m, s, "more bytes come in than the rx channel has room for");
}

static void begin_data(Machine *m, Spi *s, uint32_t kind)
{
    s->kind = kind;
    s->word_bytes = word_bytes(m, s);
    s->left = ((s->command & 0xffff) + 1) * s->word_bytes;
}

// ---- the other commands

static void send_bits(Machine *m, uint32_t n, Cycle at)
{
    Spi *s = spi(m, n);
    const uint32_t bits = (s->command >> 16 & 15) + 1;
    if (bits % 8 || s->command & FOUR_LINES) no_spi(m, s, "8 or 16 bits on one line");
    for (uint32_t done = 0; done < bits; done += 8)
        front_end_exchange(m, n, s->selected, (uint8_t)(s->command >> (8 - done)), at);
    busy(m, n, at + bits_cycles(m, s, bits));
}

static void dummy_bits(Machine *m, uint32_t n, Cycle at)
{
    Spi *s = spi(m, n);
    const uint32_t bits = (s->command >> 16 & 31) + 1;
    if (bits % 8) no_spi(m, s, "dummy cycles by 8");
    for (uint32_t done = 0; done < bits; done += 8)
        front_end_exchange(m, n, s->selected, 0, at);
    busy(m, n, at + bits_cycles(m, s, bits));
}

static void select_device(Machine *m, uint32_t n, int chip_select, Cycle at)
{
    spi(m, n)->selected = chip_select;
    front_end_select(m, n, chip_select, at);
}

static void end_transfer(Machine *m, uint32_t n, Cycle at)
{
    Spi *s = spi(m, n);
    if (!(s->command & KEEP_SELECTED)) select_device(m, n, -1, at);
    if (s->command & END_EVENT) soc_event(m, SOC_EVENT_END + n, at);
}

static void wait_cycles(Machine *m, uint32_t n, Cycle at)
{
    const Spi *s = spi(m, n);
    if ((s->command >> 8 & 3) != WAIT_CYCLES) no_spi(m, s, "waits for events are not simulated");
    busy(m, n, at + bits_cycles(m, s, s->command & 0x7f));
}

static void obey(Machine *m, uint32_t n, Cycle at)
{
    Spi *s = spi(m, n);
    const uint32_t kind = s->command >> 28;
    busy(m, n, at + COMMAND_CYCLES);
    switch (kind) {
    case CONFIGURE: s->divider = s->command & 0xff; break;
    case SELECT: select_device(m, n, (int)(s->command & 3), at); break;
    case SEND_BITS: send_bits(m, n, at); break;
    case DUMMY: dummy_bits(m, n, at); break;
    case WAIT: wait_cycles(m, n, at); break;
    case END: end_transfer(m, n, at); break;
    case TX_DATA:
    case RX_DATA:
    case FULL_DUPLEX: begin_data(m, s, kind); break;
    default: no_spi(m, s, "this command is not simulated");
    }
}

void spi_go_on(Machine *m, uint32_t n, Cycle at)
{
    Spi *s = spi(m, n);
    if (s->busy) return;
    if (s->left) {
        begin_part(m, n, at);
        return;
    }
    if (udma_left(m, s->commands) < sizeof s->command) return;
    udma_take(m, s->commands, (uint8_t *)&s->command, sizeof s->command, at);
    obey(m, n, at);
}

void spi_due(Machine *m, int which)
{
    const uint32_t n = (uint32_t)(which - DUE_SPI);
    spi(m, n)->busy = false;
    end_part(m, n);
    spi_go_on(m, n, m->now);
}

// ---- registers

static Spi *spi_of(const Access *a)
{
    const uint32_t n = a->offset / SPI_BYTES;
    udma_check(a, n, "an SPI master");
    return spi(a->c->m, n);
}

static uint32_t *word_of(const Access *a)
{
    Spi *s = spi_of(a);
    switch (a->offset % SPI_BYTES) {
    case RX_CHANNEL: return &s->rx;
    case TX_CHANNEL: return &s->tx;
    case COMMAND_CHANNEL: return &s->commands;
    case STATUS: return &s->status;
    case CONFIG: return &s->config;
    default: no_register(a);
    }
}

uint32_t spi_load(const Access *a) { return *word_of(a); }

void spi_store(const Access *a, uint32_t value)
{
    *word_of(a) = value;
    if (a->offset % SPI_BYTES == CONFIG && value & SLAVE)
        misused(a, FAULT_REGISTER, "an SPI slave is not simulated");
    udma_changed(a->c->m, a->c->t);
}
