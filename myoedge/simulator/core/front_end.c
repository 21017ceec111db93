// SPDX-License-Identifier: Apache-2.0
// An ADS1298 or ADS1299 on an SPI bus, or a chain of them, by their data sheets (SBAS459, SBAS499):
// registers, commands, reading of data. All chips of a chain hear the same commands, registers are
// read from the first one. When there are conversions, and of what, is in playback.c.
#include <string.h>

#include "devices.h"

enum {
    ID,
    CONFIG1,
    CONFIG2,
    CONFIG3,
    LEAD_OFF,
    CHANNEL_1,
    SENSE_POSITIVE = 0x0f,
    SENSE_NEGATIVE = 0x10,
    STATUS_POSITIVE = 0x12,
    STATUS_NEGATIVE = 0x13,
    PIN_LEVELS = 0x14,
    CONFIG4 = 0x17,
    REGISTERS_1299 = 0x18
};
enum {
    WAKE_UP = 2,
    STANDBY = 4,
    RESET = 6,
    START = 8,
    STOP = 10,
    CONTINUE = 16,
    STOP_READING = 17,
    READ = 18
};
enum { READ_REGISTERS = 1, WRITE_REGISTERS = 2 }; // the upper three bits
enum { HIGH_RATES = 0x80, NO_CHAIN = 0x40, OFF = 0x80, COMPARATORS = 2 };
enum { CHIP_BYTES = 27, CHANNELS_A_CHIP = 8, MOST = 0x7fffff, LEAST = -0x800000 };

static const uint8_t RESET_1298[FRONT_END_REGISTERS] = {
    [ID] = 0x92, [CONFIG1] = 0x06, [CONFIG2] = 0x40, [CONFIG3] = 0x40, [PIN_LEVELS] = 0x0f};
static const uint8_t RESET_1299[FRONT_END_REGISTERS] = {
    [ID] = 0x3e, [CONFIG1] = 0x96, [CONFIG2] = 0xc0, [CONFIG3] = 0x60, [PIN_LEVELS] = 0x0f,
    [5] = 0x61,  [6] = 0x61,       [7] = 0x61,       [8] = 0x61,       [9] = 0x61,
    [10] = 0x61, [11] = 0x61,      [12] = 0x61};

static FrontEnd *front_end(Machine *m) { return &m->devices->peripherals.front_end; }

void front_end_reset(FrontEnd *f)
{
    memcpy(f->registers, f->kind == ADS1299 ? RESET_1299 : RESET_1298, sizeof f->registers);
    f->started = f->standby = false;
    f->continuous = true;
    f->command = f->wanted = 0;
    f->out_bytes = f->out_at = 0;
}

uint32_t front_end_rate(const FrontEnd *f)
{
    const uint32_t slower = f->registers[CONFIG1] & 7;
    const bool fast = f->kind == ADS1298 && f->registers[CONFIG1] & HIGH_RATES;
    return slower == 7 ? 0 : (fast ? 32000u : 16000u) >> slower;
}

// ---- what is read

static int32_t sample(const FrontEnd *f, uint32_t channel)
{
    const Playback *p = f->playback;
    const uint32_t set = f->registers[CHANNEL_1 + channel % CHANNELS_A_CHIP];
    if (!f->has_frame || channel >= p->channels || set & OFF || set & 7) return 0;
    return p->counts[(size_t)f->frame * p->channels + channel];
}

// Which of a chip's inputs are off, as their comparators see it: those at one end of the range.
static uint32_t off_inputs(const FrontEnd *f, uint32_t chip, int which, int32_t end)
{
    uint32_t off = 0;
    if (!(f->registers[CONFIG4] & COMPARATORS)) return 0;
    for (uint32_t k = 0; k < CHANNELS_A_CHIP; k++)
        if (sample(f, CHANNELS_A_CHIP * chip + k) == end) off |= 1u << k;
    return off & f->registers[which];
}

static void put24(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)(value >> 16);
    to[1] = (uint8_t)(value >> 8);
    to[2] = (uint8_t)value;
}

static void put_chip(FrontEnd *f, uint32_t chip, uint8_t *to)
{
    const uint32_t positive = off_inputs(f, chip, SENSE_POSITIVE, MOST);
    const uint32_t negative = off_inputs(f, chip, SENSE_NEGATIVE, LEAST);
    if (!chip) {
        f->registers[STATUS_POSITIVE] = (uint8_t)positive;
        f->registers[STATUS_NEGATIVE] = (uint8_t)negative;
    }
    put24(to, 0xc00000 | positive << 12 | negative << 4 | f->registers[PIN_LEVELS] >> 4);
    for (uint32_t k = 0; k < CHANNELS_A_CHIP; k++)
        put24(to + 3 + 3 * k, (uint32_t)sample(f, CHANNELS_A_CHIP * chip + k));
}

static void put_data(FrontEnd *f)
{
    const bool chained = f->kind == PLAIN_SPI || !(f->registers[CONFIG1] & NO_CHAIN);
    f->out_at = 0;
    f->fresh = false;
    f->is_data = true;
    if (f->kind == PLAIN_SPI) {
        const Playback *p = f->playback;
        f->out_bytes = p->frame_bytes;
        memcpy(f->out, p->bytes + (size_t)f->frame * p->frame_bytes, p->frame_bytes);
        return;
    }
    f->out_bytes = CHIP_BYTES * f->playback->chips;
    memset(f->out, 0, f->out_bytes);
    for (uint32_t chip = 0; chip < (chained ? f->playback->chips : 1); chip++)
        put_chip(f, chip, f->out + CHIP_BYTES * chip);
}

static void put_registers(FrontEnd *f, uint32_t first, uint32_t count)
{
    f->out_at = 0;
    f->out_bytes = count;
    f->is_data = false;
    for (uint32_t k = 0; k < count; k++)
        f->out[k] = first + k < FRONT_END_REGISTERS ? f->registers[first + k] : 0;
}

// ---- commands

static void write_register(Machine *m, FrontEnd *f, uint32_t number, uint8_t value, Cycle at)
{
    const uint32_t count = f->kind == ADS1299 ? REGISTERS_1299 : FRONT_END_REGISTERS;
    if (number == ID || number == STATUS_POSITIVE || number == STATUS_NEGATIVE || number >= count) return;
    const bool changes = number == CONFIG1 && f->registers[CONFIG1] != value;
    f->registers[number] = value;
    if (changes) conversions_changed(m, at, true);
}

static void obey(Machine *m, FrontEnd *f, uint8_t command, Cycle at)
{
    switch (command) {
    case WAKE_UP: f->standby = false; break;
    case STANDBY: f->standby = true; break;
    case START: f->started = true; break;
    case STOP: f->started = false; break;
    case CONTINUE: f->continuous = true; return;
    case STOP_READING:
        f->continuous = false;
        f->out_bytes = 0;
        return;
    case READ: put_data(f); return;
    case RESET: front_end_reset(f); break;
    default:
        if (!f->continuous) f->command = command;
        return;
    }
    conversions_changed(m, at, command == RESET);
}

// A byte of a command of several: how many registers, then, of a write, their values.
static void go_on(Machine *m, FrontEnd *f, uint8_t byte, Cycle at)
{
    const uint32_t first = f->command & 31, kind = f->command >> 5;
    if (f->wanted) {
        write_register(m, f, first + f->written++, byte, at);
        if (!--f->wanted) f->command = 0;
        return;
    }
    f->written = 0;
    if (kind == WRITE_REGISTERS) {
        f->wanted = (byte & 31) + 1u;
        return;
    }
    if (kind == READ_REGISTERS) put_registers(f, first, (byte & 31) + 1u);
    f->command = 0;
}

void front_end_select(Machine *m, uint32_t spi, int chip_select, Cycle at)
{
    FrontEnd *f = front_end(m);
    const Playback *p = f->playback;
    (void)at;
    if (!p || spi != p->spi) return;
    f->selected = chip_select == (int)p->chip_select;
    f->command = f->wanted = 0;
    f->out_at = f->out_bytes = 0;
    if (f->selected && f->continuous) put_data(f);
}

static uint8_t next_byte(Machine *m, FrontEnd *f, Cycle at)
{
    if (f->out_at == f->out_bytes && f->continuous && f->fresh) put_data(f);
    if (f->out_at >= f->out_bytes) return 0;
    if (!f->out_at && f->is_data) data_read(m, f->out, f->out_bytes, at);
    return f->out[f->out_at++];
}

uint8_t front_end_exchange(Machine *m, uint32_t spi, int chip_select, uint8_t byte, Cycle at)
{
    FrontEnd *f = front_end(m);
    if (!f->playback || !f->selected || spi != f->playback->spi || chip_select < 0) return 0;
    const uint8_t out = next_byte(m, f, at);
    if (f->kind == PLAIN_SPI) return out;
    if (f->command) go_on(m, f, byte, at);
    else obey(m, f, byte, at);
    return out;
}
