// SPDX-License-Identifier: Apache-2.0
// From the bytes of L2 to decoded instructions, and the links between them.
#include <stdlib.h>
#include <string.h>

#include "isa.h"

enum { LOADS = 0x03, LOADS_POST = 0x0b, STORES = 0x23, STORES_POST = 0x2b, SYSTEM = 0x73 };
enum { PAGE = 4096, REACH = 8 }; // REACH: bytes that a decoded instruction depends on

typedef struct {
    uint32_t mask;
    uint8_t fields, immediate, distance;
} Layout;

static const Layout layouts[] = {
#define F(name, mask, fields, immediate, distance) {mask, fields, immediate, distance},
    FORMATS(F)
#undef F
};

static const Table *const tables[] = {&table_rv32, &table_system,   &table_csr,  &table_loops, &table_memory,
                                      &table_alu,  &table_products, &table_simd, &table_dots};

// ---- where an instruction is

bool is_own(const Machine *m, const Insn *i)
{
    return (uintptr_t)i - (uintptr_t)m->insns < m->chip.l2_bytes / 2 * sizeof(Insn);
}

uint32_t pc_of(const Machine *m, const Insn *i)
{
    while (!is_own(m, i))
        i = i->target; // a tail, a stray, a copy
    return m->chip.l2_base + 2 * (uint32_t)(i - m->insns);
}

uint32_t word_at(const Machine *m, uint32_t pc)
{
    const uint32_t offset = pc - m->chip.l2_base, bytes = m->chip.l2_bytes;
    uint32_t word = 0;
    if (offset < bytes - 2) memcpy(&word, m->l2 + offset, 4);
    else if (offset == bytes - 2) memcpy(&word, m->l2 + offset, 2);
    if ((word & 3) != 3) return word & 0xffff;
    return offset < bytes - 2 ? word : 0;
}

// ---- links

static const Insn *op_stray(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    SETTLE();
    const uint32_t pc = pc_of(c->m, i);
    fault(c->m, c->id, FAULT_FETCH, pc, pc, "the instruction at 0x%08x leads out of L2", pc);
}

// What stands for an address outside L2 where `from` leads there.
static Insn *stray(Machine *m, const Insn *from)
{
    if (!m->strays) m->strays = calloc(m->chip.l2_bytes / 2, sizeof(Insn));
    if (!m->strays) fault(m, -1, FAULT_MEMORY, 0, 0, "no memory left for decoded instructions");
    const size_t at = (size_t)(from - m->insns);
    m->strays[at] =
        (Insn){.op = op_stray, .body = op_stray, .target = &m->insns[at], .line = from->line, .rd = NOWHERE};
    return &m->strays[at];
}

// The instruction at an offset in L2, ready to be reached.
static Insn *linked(Machine *m, uint32_t offset)
{
    Insn *i = &m->insns[offset / 2];
    if (i->op) return i;
    i->op = i->body = decode;
    i->line = offset / m->chip.line_bytes;
    i->rd = NOWHERE;
    return i;
}

Insn *link_to(Machine *m, const Insn *from, uint32_t pc)
{
    const uint32_t offset = pc - m->chip.l2_base;
    if (offset >= m->chip.l2_bytes || (pc & 1)) return stray(m, from);
    return linked(m, offset);
}

Insn *insn_at(Core *c, const Insn *from, uint32_t pc)
{
    const uint32_t offset = pc - c->m->chip.l2_base;
    if (offset >= c->m->chip.l2_bytes || (pc & 1))
        fault(c->m, c->id, FAULT_FETCH, from ? pc_of(c->m, from) : pc, pc,
              "a jump to 0x%08x, where no instructions lie", pc);
    return linked(c->m, offset);
}

// ---- fields

static uint32_t bits(uint32_t v, int high, int low) { return v >> low & ((1u << (high - low + 1)) - 1); }

static int32_t sign_extend(uint32_t v, int width)
{
    const uint32_t sign = 1u << (width - 1);
    return (int32_t)((v ^ sign) - sign);
}

static uint32_t immediate6(uint32_t word) { return bits(word, 24, 20) << 1 | bits(word, 25, 25); }

static uint32_t every_byte(uint32_t v) { return (v & 0xff) * 0x01010101u; }
static uint32_t every_half(uint32_t v) { return (v & 0xffff) * 0x00010001u; }

static int32_t immediate_of(uint32_t word, enum Immediate kind, uint32_t pc, uint32_t size)
{
    switch (kind) {
    case IMM_I: return sign_extend(word >> 20, 12);
    case IMM_S: return sign_extend(bits(word, 31, 25) << 5 | bits(word, 11, 7), 12);
    case IMM_U: return (int32_t)(word & 0xfffff000u);
    case IMM_PC: return (int32_t)(pc + (word & 0xfffff000u));
    case IMM_LINK: return (int32_t)(pc + size);
    case IMM_CSR:
    case IMM_12U: return (int32_t)(word >> 20);
    case IMM_SHIFT: return (int32_t)bits(word, 24, 20);
    case IMM_BITS: return (int32_t)bits(word, 29, 20);
    case IMM_NORM: return (int32_t)bits(word, 29, 25);
    case IMM_5S: return sign_extend(bits(word, 24, 20), 5);
    case IMM_6U: return (int32_t)immediate6(word);
    case IMM_6S_B: return (int32_t)every_byte((uint32_t)sign_extend(immediate6(word), 6));
    case IMM_6S_H: return (int32_t)every_half((uint32_t)sign_extend(immediate6(word), 6));
    case IMM_6U_B: return (int32_t)every_byte(immediate6(word));
    case IMM_6U_H: return (int32_t)every_half(immediate6(word));
    default: return 0;
    }
}

static uint32_t distance_of(uint32_t word, enum Distance kind)
{
    switch (kind) {
    case TO_BRANCH:
        return (uint32_t)sign_extend(bits(word, 31, 31) << 12 | bits(word, 7, 7) << 11
                                         | bits(word, 30, 25) << 5 | bits(word, 11, 8) << 1,
                                     13);
    case TO_JUMP:
        return (uint32_t)sign_extend(bits(word, 31, 31) << 20 | bits(word, 19, 12) << 12
                                         | bits(word, 20, 20) << 11 | bits(word, 30, 21) << 1,
                                     21);
    case TO_LOOP: return 2 * (word >> 20);
    case TO_LOOP_SHORT: return 2 * bits(word, 19, 15);
    default: return 0;
    }
}

// ---- what an instruction is

static const Insn *op_illegal(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    SETTLE();
    const uint32_t pc = pc_of(c->m, i);
    fault(c->m, c->id, FAULT_ILLEGAL, pc, pc, "0x%08x is no instruction of this core", word_at(c->m, pc));
}

static const Row illegal = {"illegal", 0, FORMAT_EXACT, PROMPT, op_illegal};

// `word` may be a compressed instruction in the lower half.
static const Row *row_of(uint32_t word)
{
    if ((word & 3) != 3) word = expand((uint16_t)word);
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        const Row *rows = tables[t]->rows;
        for (size_t k = 0; k < tables[t]->count; k++)
            if ((word & layouts[rows[k].format].mask) == rows[k].match) return &rows[k];
    }
    return &illegal;
}

const char *name_of(uint32_t word)
{
    const Row *row = row_of(word);
    return row == &illegal ? NULL : row->name;
}

static void set_registers(Insn *i, uint32_t word, unsigned fields)
{
    const uint32_t rd = bits(word, 11, 7), rs1 = bits(word, 19, 15), rs2 = bits(word, 24, 20);
    i->rd = (uint8_t)((fields & DEST) && !rd ? NOWHERE : rd);
    i->rs1 = (uint8_t)rs1;
    i->rs2 = (uint8_t)rs2;
    i->base = (uint8_t)((fields & BASE) && rs1 ? rs1 : NOWHERE);
    i->reads = 0;
    if (fields & READ1) i->reads |= 1u << rs1;
    if (fields & READ2) i->reads |= 1u << rs2;
    if (fields & READ3) i->reads |= 1u << rd;
    i->reads &= ~1u;
}

static bool is_access(uint32_t word)
{
    switch (word & 0x7f) {
    case LOADS:
    case LOADS_POST:
    case STORES:
    case STORES_POST: return true;
    case SYSTEM: return word >> 12 & 7; // not those that jump, sleep or end the run
    default: return false;
    }
}

// All that follows from the bytes of the instruction alone; the distance to its target.
static uint32_t describe(const Machine *m, uint32_t pc, Insn *i)
{
    uint32_t word = word_at(m, pc);
    const Row *row = row_of(word);
    const Layout *layout = &layouts[row->format];
    i->size = (word & 3) == 3 ? 4 : 2;
    if (i->size == 2) word = expand((uint16_t)word);
    i->body = row->op;
    i->late = row->late;
    i->retired = i->size == 2 ? 1ull << 40 | 1 : 1;
    i->imm = immediate_of(word, layout->immediate, pc, i->size);
    i->acts = is_access(word);
    i->spins = i->ahead = false;
    set_registers(i, word, layout->fields);
    return distance_of(word, layout->distance);
}

bool is_filled(const Insn *i) { return i->body != NULL && i->body != decode; }

uint8_t use_cost(const Machine *m, const Insn *i, const Insn *behind)
{
    const Chip *chip = &m->chip;
    if (i->late == PROMPT || i->rd == NOWHERE || !(behind->reads >> i->rd & 1)) return 0;
    const bool as_address = behind->late == LATE_LOAD; // loads read nothing else
    switch (i->late) {
    case LATE_LOAD: return (uint8_t)(as_address ? chip->address_use_stall : chip->load_use_stall);
    case LATE_MUL: return (uint8_t)chip->mul_use_stall;
    case LATE_MULH: return (uint8_t)chip->mulh_use_stall;
    default: return (uint8_t)chip->div_use_stall;
    }
}

// Whether an instruction asks for anything in the cycle in which it is reached from the one before it,
// whether or not it then waits for a result: an access, its line, the line behind.
static bool asks_at(const Machine *m, uint32_t pc)
{
    const uint32_t at = pc & (m->chip.line_bytes - 1);
    Insn i = {0};
    describe(m, pc, &i);
    return i.acts || at == 0 || at + i.size >= m->chip.line_bytes - 2;
}

// The same for the instruction behind it by address, which need not be decoded.
static uint8_t cost_behind(const Machine *m, const Insn *i, uint32_t pc)
{
    if (i->late == PROMPT) return 0;
    Insn behind = {0};
    describe(m, pc, &behind);
    return use_cost(m, i, &behind);
}

// ---- filling in

Op plain_op(const Machine *m, const Insn *i)
{
    const uint32_t at = pc_of(m, i) & (m->chip.line_bytes - 1);
    if (at == 0) return enter_line;
    return at == m->chip.line_bytes - 2 ? enter_last : i->body;
}

static void install(Machine *m, Insn *i, uint32_t pc) { i->op = observes(m, pc) ? observe : plain_op(m, i); }

static void note_page(Machine *m, uint32_t offset)
{
    if (offset < m->chip.l2_bytes) m->code_pages[offset / PAGE] = 1;
}

// Whether the instruction that follows by address needs a line that this one has not had fetched.
static bool reaches_next_line(const Machine *m, const Insn *i, uint32_t pc)
{
    const uint32_t at = pc & (m->chip.line_bytes - 1), last = m->chip.line_bytes - 2;
    return at != last && at + i->size >= last && i->line + 1 < m->chip.l2_bytes / m->chip.line_bytes;
}

void fill(Machine *m, Insn *i)
{
    const uint32_t pc = pc_of(m, i), offset = pc - m->chip.l2_base;
    Insn *tail = &m->tails[offset / 2];
    const uint32_t distance = describe(m, pc, i);
    i->target = distance ? link_to(m, i, pc + distance) : i;
    i->spins = distance && may_spin(m, pc, pc + distance);
    i->ahead = m->chip.jump_fetches_next && reaches_next_line(m, i, pc);
    i->next = link_to(m, i, pc + i->size);
    i->use_stall = tail->op ? 0 : cost_behind(m, i, pc + i->size);
    if (i->use_stall && asks_at(m, pc + i->size)) {
        make_tail(m, i); // which fills it again
        return;
    }
    if (tail->op) {
        tail->next = i->next;
        i->next = tail;
    }
    note_page(m, offset);
    note_page(m, offset + REACH - 1);
    install(m, i, pc);
}

const Insn *decode(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    Insn *own = &c->m->insns[i - c->m->insns];
    fill(c->m, own);
    GO(own);
}

static void forget(Machine *m, uint32_t first, uint32_t last)
{
    for (uint32_t at = first / 2; at <= last / 2; at++)
        if (m->insns[at].op) m->insns[at].op = m->insns[at].body = decode;
}

void forget_code(Machine *m, uint32_t address, uint32_t size)
{
    uint32_t from = address - m->chip.l2_base;
    const uint32_t end = from + size;
    while (from < end) {
        const uint32_t page_end = (from / PAGE + 1) * PAGE, to = end < page_end ? end : page_end;
        if (m->code_pages[from / PAGE]) forget(m, from > REACH - 1 ? from - (REACH - 1) : 0, to - 1);
        from = to;
    }
}
