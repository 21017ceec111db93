// SPDX-License-Identifier: Apache-2.0
// The flash on the chip (eMRAM) behind the uDMA, one operation at a time: words of 16 bytes that are
// programmed once and then have to be erased, by words or by sectors. Its page describes the
// registers, the SDK's driver the order in which they are used, the platform's model the times.
// An event ends an operation. The busy bits of STATUS stay 0, as in the model; the SDK's driver does not
// read them. Its bit of errors is set after a read of words that have more wrong bits than ECC corrects.
#include <string.h>

#include "devices.h"

enum {
    RX = 0x00,
    TX = 0x04,
    TRANSFERS_MODE = 0x08,
    ADDRESS = 0x0c,
    SIZE = 0x10,
    START = 0x14,
    OUTSIDE = 0x18,
    STATUS = 0x1c,
    MODE = 0x20,
    ERASE_ADDRESS = 0x24,
    ERASE_SIZE = 0x28,
    CLOCK = 0x2c,
    ENABLE = 0x34,
    TWO_DIMENSIONS = 0x44
};
enum { TRIM = 0x01, PROGRAM = 0x02, ERASE_SECTOR = 0x08, ERASE_WORDS = 0x10, READ = 0x40 };
enum {
    START_READ = 1,
    START_VALID = 2,
    AUTOMATIC = 1,
    POWERED = 7 << 5,
    CLOCK_ON = 1 << 9,
    CLOCK_MASK = 0xff
};
enum { EVENT_ERASED = 113, EVENT_PROGRAMMED, EVENT_TRIMMED, EVENT_READ, TRIM_WORD = 4 };
enum { PERIPHERAL = 21, WORD = 16, ROW = 2048, SECTOR = 8192, ROW_WORDS_MASK = 0x7f };
enum { ERASED = 0xff, NOT_CORRECTED = 1 << 4 };

static Mram *mram(Machine *m) { return &m->devices->peripherals.mram; }

static uint32_t written(const Access *a, uint32_t offset) { return mram(a->c->m)->registers[offset / 4]; }

void mram_erase_all(Machine *m)
{
    memset(m->mram, ERASED, m->chip.mram_bytes);
    memset(m->mram_damaged, 0, m->chip.mram_bytes / WORD);
}

// Whether reading some of the bytes is an error that ECC does not correct.
static bool is_damaged(const Machine *m, uint32_t at, uint32_t bytes)
{
    for (uint32_t word = at / WORD; word <= (at + bytes - 1) / WORD; word++)
        if (m->mram_damaged[word]) return true;
    return false;
}

static void repair(Machine *m, uint32_t at, uint32_t bytes)
{
    memset(m->mram_damaged + at / WORD, 0, bytes / WORD);
}

// ---- operations: each ends, or goes on with its next word, when it is due

static Cycle factor(const Mram *f)
{
    const uint32_t divider = f->registers[CLOCK / 4] & CLOCK_MASK;
    return divider ? divider : 1;
}

// The FIFO to the uDMA holds the flash up unless the divider gives it time to empty.
static Cycle read_word_cycles(const Chip *chip, const Mram *f)
{
    if (factor(f) == 1) return chip->mram_read_word_cycles;
    return factor(f) + (factor(f) < chip->mram_read_free_divider ? chip->mram_read_divided_cycles : 0);
}

static Cycle program_word_cycles(const Chip *chip, const Mram *f)
{
    const Cycle periods = (chip->mram_word_cycles + factor(f) - 1) / factor(f);
    return (periods + chip->mram_program_periods) * factor(f);
}

static Cycle erase_word_cycles(const Chip *chip, const Mram *f)
{
    return chip->mram_word_cycles + (f->operation == ERASE_WORDS ? chip->mram_erase_periods * factor(f) : 0);
}

// To the end, but of a read to its last byte, and in programming to the end of the first word.
static Cycle cycles_of(const Machine *m, const Mram *f)
{
    const Chip *chip = &m->chip;
    const Cycle words = (f->at % WORD + f->bytes + WORD - 1) / WORD;
    switch (f->operation) {
    case TRIM: return f->bytes / TRIM_WORD * chip->mram_trim_periods * factor(f);
    case READ:
        return chip->mram_read_cycles + chip->mram_read_periods * factor(f)
            + (words - 1) * read_word_cycles(chip, f);
    case PROGRAM: return chip->mram_start_cycles * factor(f);
    default: return chip->mram_start_cycles * factor(f) + words * erase_word_cycles(chip, f);
    }
}

static uint32_t event_of(uint32_t operation)
{
    switch (operation) {
    case TRIM: return EVENT_TRIMMED;
    case PROGRAM: return EVENT_PROGRAMMED;
    case READ: return EVENT_READ;
    default: return EVENT_ERASED;
    }
}

static void ended(Machine *m, Mram *f)
{
    const uint32_t event = event_of(f->operation);
    m->devices->counts.mram_busy_cycles += m->now - f->start;
    f->operation = 0;
    if (f->registers[ENABLE / 4] >> (event - EVENT_ERASED) & 1) soc_event(m, event, m->now);
}

static void read_due(Machine *m, int which, Mram *f)
{
    f->moved = !f->moved;
    if (!f->moved) {
        ended(m, f);
        return;
    }
    memcpy(memory_at(m, f->l2, f->bytes), m->mram + f->at, f->bytes);
    memory_written(m, f->l2, f->bytes);
    m->devices->counts.mram_reads++;
    m->devices->counts.mram_read_bytes += f->bytes;
    f->not_corrected = is_damaged(m, f->at, f->bytes);
    due_at(m, which, m->now + m->chip.mram_read_end_periods * factor(f));
}

void mram_due(Machine *m, int which)
{
    Mram *f = mram(m);
    if (f->operation == READ) {
        read_due(m, which, f);
        return;
    }
    if (f->operation == PROGRAM) {
        memcpy(m->mram + f->at, memory_at(m, f->l2, WORD), WORD);
        repair(m, f->at, WORD);
        f->at += WORD;
        f->l2 += WORD;
        f->bytes -= WORD;
        if (f->bytes) {
            due_at(m, which, m->now + program_word_cycles(&m->chip, f));
            return;
        }
    } else if (f->operation == TRIM) f->trimmed = true;
    else {
        memset(m->mram + f->at, ERASED, f->bytes);
        repair(m, f->at, f->bytes);
    }
    ended(m, f);
}

static bool is_erased(const uint8_t *bytes, uint32_t count)
{
    while (count && *bytes == ERASED) {
        bytes++;
        count--;
    }
    return !count;
}

static void check_l2(const Access *a, const Mram *f)
{
    const Chip *chip = &a->c->m->chip;
    const uint32_t l2 = f->l2 - chip->l2_base;
    if (!f->bytes) misused(a, FAULT_DMA, "a flash transfer of no bytes");
    if (l2 >= chip->l2_bytes || f->bytes > chip->l2_bytes - l2)
        misused(a, FAULT_DMA, "a flash transfer that is not all inside L2");
    if (!(written(a, TRANSFERS_MODE) & AUTOMATIC))
        misused(a, FAULT_DMA, "a flash transfer without automatic transfers");
    if (written(a, f->operation == READ ? RX : TX) >= UDMA_CHANNELS)
        misused(a, FAULT_DMA, "a flash transfer without a linear channel");
    if (written(a, TWO_DIMENSIONS) & 1) misused(a, FAULT_DMA, "flash transfers in lines are not simulated");
}

static void check_flash(const Access *a, const Mram *f)
{
    const Machine *m = a->c->m;
    if (!f->trimmed) misused(a, FAULT_DMA, "a flash operation before its trimming is configured");
    if (f->at >= m->chip.mram_bytes || f->bytes > m->chip.mram_bytes - f->at)
        misused(a, FAULT_DMA, "a flash operation that is not all inside the flash");
    if (f->operation == READ) return;
    if (f->at % WORD || f->bytes % WORD)
        misused(a, FAULT_DMA, "flash is programmed and erased by words of 16 bytes");
    if (f->operation != ERASE_SECTOR && f->at / ROW != (f->at + f->bytes - 1) / ROW)
        misused(a, FAULT_DMA, "a flash operation over the end of a row of 2 KiB");
    if (f->operation == PROGRAM && (is_damaged(m, f->at, f->bytes) || !is_erased(m->mram + f->at, f->bytes)))
        misused(a, FAULT_DMA, "flash is programmed that is not erased");
}

// Words of its own would make the flash of a chip unreliable for which its maker has measured some.
static void check_trim(const Access *a, const Mram *f)
{
    Machine *m = a->c->m;
    uint32_t words;
    const uint32_t *fused = efuse_trim(m, &words);
    if (!f->bytes || f->bytes % TRIM_WORD) misused(a, FAULT_DMA, "the flash is trimmed by words");
    if (!fused) return;
    if (f->bytes != words * TRIM_WORD || memcmp(memory_at(m, f->l2, f->bytes), fused, f->bytes))
        misused(a, FAULT_DMA, "the flash is trimmed by other words than those of the chip's eFUSEs");
}

// What the registers say of the next operation.
static void describe(const Access *a, Mram *f, uint32_t operation)
{
    f->operation = operation;
    if (operation == ERASE_SECTOR || operation == ERASE_WORDS) {
        const bool whole = operation == ERASE_SECTOR;
        f->at = written(a, ERASE_ADDRESS) & (whole ? 0x1fe000 : 0x1ffff0);
        f->bytes = whole ? SECTOR : ((written(a, ERASE_SIZE) & ROW_WORDS_MASK) + 1) * WORD;
    } else {
        f->at = operation == TRIM ? 0 : written(a, OUTSIDE) & 0x1fffff;
        f->bytes = written(a, SIZE) & 0x1fffff;
        f->l2 = written(a, ADDRESS);
        check_l2(a, f);
    }
    if (operation == TRIM) check_trim(a, f);
    else check_flash(a, f);
}

static bool is_known(uint32_t operation)
{
    return operation == TRIM || operation == PROGRAM || operation == ERASE_SECTOR || operation == ERASE_WORDS
        || operation == READ;
}

static void start(const Access *a, uint32_t value)
{
    Machine *m = a->c->m;
    Mram *f = mram(m);
    const uint32_t mode = written(a, MODE), operation = mode >> 8 & 0xff;
    if (f->operation)
        misused(a, FAULT_DMA, "a second operation of the flash before the event that ends the first");
    if ((mode & POWERED) != POWERED || !(written(a, CLOCK) & CLOCK_ON))
        misused(a, FAULT_DMA, "a flash operation without power, reset or clock of the flash");
    if (!is_known(operation) || (operation == READ) != (value & START_READ))
        misused(a, FAULT_DMA, "an operation of the flash that is not simulated");
    describe(a, f, operation);
    f->not_corrected = false;
    f->start = a->c->t;
    due_at(m, DUE_FLASH, a->c->t + cycles_of(m, f));
}

uint32_t mram_load(const Access *a)
{
    udma_check(a, PERIPHERAL, "the flash");
    if (a->offset == STATUS) return mram(a->c->m)->not_corrected ? NOT_CORRECTED : 0;
    return written(a, a->offset);
}

void mram_store(const Access *a, uint32_t value)
{
    udma_check(a, PERIPHERAL, "the flash");
    if (a->offset == START && value & START_VALID) start(a, value);
    else mram(a->c->m)->registers[a->offset / 4] = value;
}

// ---- power goes

// Numerical Recipes' generator; its upper bits.
static uint8_t drawn(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (uint8_t)(*state >> 24);
}

// Each bit is as it was or as it should become. `whole`: so are half of the words. Of the words that are
// neither, ECC finds 7 of 8: it does not find all errors of three bits and more.
static void tear(Machine *m, uint32_t at, const uint8_t *wanted, bool whole, uint32_t *random)
{
    const uint8_t kind = whole ? drawn(random) & 3 : 2;
    uint8_t *word = m->mram + at, old[WORD];
    memcpy(old, word, WORD);
    for (int n = 0; n < WORD; n++) {
        const uint8_t mask = kind == 0 ? 0 : kind == 1 ? 0xff : drawn(random);
        word[n] = (uint8_t)((word[n] & ~mask) | (wanted[n] & mask));
    }
    if (memcmp(word, old, WORD) && memcmp(word, wanted, WORD))
        m->mram_damaged[at / WORD] = (drawn(random) & 7) != 0;
}

void mram_power_cut(Machine *m, uint32_t seed)
{
    static const uint8_t blank[WORD] = {ERASED, ERASED, ERASED, ERASED, ERASED, ERASED, ERASED, ERASED,
                                        ERASED, ERASED, ERASED, ERASED, ERASED, ERASED, ERASED, ERASED};
    Mram *f = mram(m);
    if (f->operation == PROGRAM) tear(m, f->at, memory_at(m, f->l2, WORD), false, &seed);
    else if (f->operation == ERASE_SECTOR || f->operation == ERASE_WORDS)
        for (uint32_t at = 0; at < f->bytes; at += WORD)
            tear(m, f->at + at, blank, true, &seed);
    f->operation = 0;
}
