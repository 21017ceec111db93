// SPDX-License-Identifier: Apache-2.0
// Control and status registers. What the performance counters show is worked out when they are
// read, from counts that are kept anyway.
#include "handlers.h"

enum {
    MSTATUS = 0x300,
    MISA = 0x301,
    MIE = 0x304,
    MTVEC = 0x305,
    MSCRATCH = 0x340,
    MEPC = 0x341,
    MCAUSE = 0x342,
    PCCR = 0x780,
    ALL_PCCR = 0x79f,
    LOOP = 0x7b0,
    MCYCLE = 0xb00,
    MINSTRET = 0xb02,
    MCYCLEH = 0xb80,
    MINSTRETH = 0xb82,
    CYCLE = 0xc00,
    INSTRET = 0xc02,
    CYCLEH = 0xc80,
    INSTRETH = 0xc82,
    PRIVILEGE = 0xc10,
    PCER = 0xcc0,
    PCMR = 0xcc1,
    MVENDORID = 0xf11,
    MARCHID = 0xf12,
    MIMPID = 0xf13,
    MHARTID = 0xf14,
    UHARTID = 0x014
};
enum { EVENTS = 17, COUNTERS = 31 }; // counters without an event stay as they are
enum { IMC_AND_MORE = 1 << 30 | 1 << 23 | 1 << 12 | 1 << 8 | 1 << 2, MACHINE_MODE = 3 };

// ---- performance counters

static uint64_t load_stalls(const Core *c)
{
    const Chip *chip = &c->m->chip;
    const Tally *t = &c->tally;
    return c->counts.stall[STALL_LOAD_USE] + t->mul * chip->mul_counted + t->mul_use * chip->mul_use_counted
        + t->mulh * chip->mulh_counted + t->mulh_use * chip->mulh_use_counted;
}

static uint64_t outside_event(const Core *c, int event)
{
    switch (event) {
    case 12: return c->counts.outside_loads;
    case 13: return c->counts.outside_stores;
    case 14: return c->tally.outside_load_cycles;
    case 15: return c->tally.outside_store_cycles;
    case 16: return c->counts.stall[STALL_BANK];
    default: return 0; // 11 is not connected
    }
}

// How often an event has happened since the start. The second half of a misaligned access counts
// as a load whatever it is; 3, waits for the address of a jump, never happens.
static uint64_t event_count(const Core *c, int event)
{
    const Counts *n = &c->counts;
    switch (event) {
    case 0: return c->t - n->stall[STALL_SLEEP];
    case 1: return n->instructions;
    case 2: return load_stalls(c);
    case 3: return 0;
    case 4: return n->stall[STALL_FETCH];
    case 5: return n->loads + c->tally.misaligned;
    case 6: return n->stores;
    case 7: return n->jumps;
    case 8: return n->branches;
    case 9: return n->taken;
    case 10: return n->compressed;
    default: return c->m->chip.outside_counted ? outside_event(c, event) : 0;
    }
}

void settle_counters(Core *c)
{
    count_retired(c);
    for (int k = 0; k < EVENTS; k++) {
        const uint64_t now = event_count(c, k);
        if ((c->pcmr & 1) && (c->pcer >> k & 1)) c->pccr[k] += (uint32_t)(now - c->pccr_from[k]);
        c->pccr_from[k] = now;
    }
}

static bool is_counter(uint32_t number)
{
    return (number >= PCCR && number <= ALL_PCCR) || number == PCER || number == PCMR;
}

static uint32_t read_counter(Core *c, uint32_t number)
{
    settle_counters(c);
    if (number == PCER) return c->pcer;
    if (number == PCMR) return c->pcmr;
    return number == ALL_PCCR ? 0 : c->pccr[number - PCCR];
}

static void write_counter(Core *c, uint32_t number, uint32_t value)
{
    settle_counters(c);
    if (number == PCER) c->pcer = value & 0x7fffffff;
    else if (number == PCMR) c->pcmr = value;
    else if (number != ALL_PCCR) c->pccr[number - PCCR] = value;
    else
        for (int k = 0; k < COUNTERS; k++)
            c->pccr[k] = value;
}

// ---- hardware loops: start, end, count, and the same four numbers further on

static bool is_loop(uint32_t number) { return number - LOOP < 4 * LOOPS && number % 4 != 3; }

static uint32_t read_loop(const Core *c, uint32_t number)
{
    const HardwareLoop *loop = &c->loop[(number - LOOP) / 4];
    if (number % 4 == 2) return loop->count;
    const Insn *i = number % 4 ? loop->end : loop->start;
    return i ? pc_of(c->m, i) : 0;
}

static void write_loop(Core *c, uint32_t number, uint32_t value)
{
    const int loop = (int)(number - LOOP) / 4;
    const bool inside = value - c->m->chip.l2_base < c->m->chip.l2_bytes && !(value & 1);
    if (number % 4 == 2) c->loop[loop].count = value;
    else if (number % 4 == 1) set_loop_end(c, loop, inside ? insn_at(c, NULL, value) : NULL);
    else c->loop[loop].start = inside ? insn_at(c, NULL, value) : NULL;
}

// ---- the rest

// Registers that hold what is written to them.
static uint32_t *plain(Core *c, uint32_t number)
{
    switch (number) {
    case MSTATUS: return &c->mstatus;
    case MIE: return &c->mie;
    case MTVEC: return &c->mtvec;
    case MSCRATCH: return &c->mscratch;
    case MEPC: return &c->mepc;
    case MCAUSE: return &c->mcause;
    default: return NULL;
    }
}

static _Noreturn void unknown(Core *c, const Insn *i, uint32_t number)
{
    fault(c->m, c->id, FAULT_REGISTER, pc_of(c->m, i), number,
          "no control register 0x%03x is known, or it cannot be written", number);
}

static uint64_t retired(Core *c)
{
    count_retired(c);
    return c->counts.instructions - c->minstret_zero;
}

static uint32_t read_other(Core *c, const Insn *i, uint32_t number)
{
    switch (number) {
    case MCYCLE:
    case CYCLE: return (uint32_t)(c->t - c->mcycle_zero);
    case MCYCLEH:
    case CYCLEH: return (uint32_t)((c->t - c->mcycle_zero) >> 32);
    case MINSTRET:
    case INSTRET: return (uint32_t)retired(c);
    case MINSTRETH:
    case INSTRETH: return (uint32_t)(retired(c) >> 32);
    case MHARTID:
    case UHARTID: return c->id == FC ? c->m->chip.fc_hart : (uint32_t)c->id;
    case MISA: return IMC_AND_MORE;
    case PRIVILEGE: return MACHINE_MODE;
    case MVENDORID:
    case MARCHID:
    case MIMPID: return 0;
    default: unknown(c, i, number);
    }
}

// Of `now`, the zero that makes the lower or upper half of the difference `value`.
static uint64_t zero_for(uint64_t now, uint64_t zero, uint32_t value, bool upper)
{
    const uint64_t shown = now - zero;
    const uint64_t wanted =
        upper ? (uint64_t)value << 32 | (uint32_t)shown : (shown & ~0xffffffffull) | value;
    return now - wanted;
}

static void write_other(Core *c, const Insn *i, uint32_t number, uint32_t value)
{
    count_retired(c);
    switch (number) {
    case MCYCLE:
    case MCYCLEH: c->mcycle_zero = zero_for(c->t, c->mcycle_zero, value, number == MCYCLEH); break;
    case MINSTRET:
    case MINSTRETH:
        c->minstret_zero = zero_for(c->counts.instructions, c->minstret_zero, value, number == MINSTRETH);
        break;
    default: unknown(c, i, number);
    }
}

uint32_t csr_read(Core *c, const Insn *i, uint32_t number)
{
    const uint32_t *stored = plain(c, number);
    if (stored) return *stored;
    if (is_counter(number)) return read_counter(c, number);
    if (is_loop(number)) return read_loop(c, number);
    return read_other(c, i, number);
}

void csr_write(Core *c, const Insn *i, uint32_t number, uint32_t value)
{
    uint32_t *stored = plain(c, number);
    if (stored) *stored = value;
    else if (is_counter(number)) write_counter(c, number, value);
    else if (is_loop(number)) write_loop(c, number, value);
    else write_other(c, i, number, value);
}

// ---- instructions

static void spend(Core *c, uint32_t number)
{
    if (!is_counter(number)) return;
    c->t += c->m->chip.counter_csr_cycles - 1;
    c->counts.stall[STALL_ARITHMETIC] += c->m->chip.counter_csr_cycles - 1;
}

// An interrupt that has been let through is taken before anything else.
static const Insn *interrupted(Core *c, const Insn *i)
{
    c->t += 1;
    c->retired += i->retired;
    return take_interrupt(c, i->next);
}

// Not read where nobody wants the value, not written where no bit is named.
#define ACCESS(name, operand, reads, writes, value) \
    static const Insn *op_##name(Core *c, const Insn *i, Cycle t, uint64_t retired) \
    { \
        const uint32_t number = (uint32_t)i->imm, a = operand; \
        SETTLE(); \
        const uint32_t old = (reads) ? csr_read(c, i, number) : 0; \
        if (writes) csr_write(c, i, number, value); \
        c->r[i->rd] = old; \
        spend(c, number); \
        if (number == MSTATUS && takes_interrupt(c)) return interrupted(c, i); \
        RESUME(); \
        DONE(); \
    }

ACCESS(csrrw, c->r[i->rs1], i->rd != NOWHERE, true, a)
ACCESS(csrrs, c->r[i->rs1], true, i->rs1 != 0, old | a)
ACCESS(csrrc, c->r[i->rs1], true, i->rs1 != 0, old & ~a)
ACCESS(csrrwi, i->rs1, i->rd != NOWHERE, true, a)
ACCESS(csrrsi, i->rs1, true, i->rs1 != 0, old | a)
ACCESS(csrrci, i->rs1, true, i->rs1 != 0, old & ~a)

#include "rows.h"

static const Row rows[] = {
#include "csr.def"
};
TABLE(csr);
