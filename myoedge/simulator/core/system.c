// SPDX-License-Identifier: Apache-2.0
// Instructions that have to do with more than the core's registers and memory.
#include "handlers.h"

// What makes an ebreak between them a call of the host.
enum { BEFORE_CALL = 0x01f01013, BEHIND_CALL = 0x40705013 }; // slli x0, x0, 31; srai x0, x0, 7

static const Insn *op_fence(Core *c, const Insn *i, Cycle t, uint64_t retired) { DONE(); }
static const Insn *op_fence_i(Core *c, const Insn *i, Cycle t, uint64_t retired) { DONE(); }

static const Insn *op_ecall(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    SETTLE();
    const uint32_t pc = pc_of(c->m, i);
    fault(c->m, c->id, FAULT_ECALL, pc, pc, "ecall: there is nobody to call");
}

static bool calls_host(const Machine *m, const Insn *i)
{
    const uint32_t pc = pc_of(m, i);
    return i->size == 4 && word_at(m, pc - 4) == BEFORE_CALL && word_at(m, pc + 4) == BEHIND_CALL;
}

// The issue cycle of an instruction that leaves going on to a device.
static void count(Core *c, const Insn *i)
{
    c->t += 1;
    c->retired += i->retired;
}

static const Insn *op_ebreak(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    ORDERED(i);
    SETTLE();
    const uint32_t pc = pc_of(c->m, i);
    if (!calls_host(c->m, i)) fault(c->m, c->id, FAULT_EBREAK, pc, pc, "ebreak: a breakpoint");
    count(c, i);
    return semihosting(c, i->next);
}

static const Insn *op_wfi(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    ORDERED(i);
    SETTLE();
    count(c, i);
    return wait_for_interrupt(c, i->next);
}

static const Insn *op_mret(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    SETTLE();
    const Insn *to = return_from_interrupt(c, i);
    count(c, i);
    c->t += c->m->chip.jump_stall;
    c->counts.stall[STALL_JUMP] += c->m->chip.jump_stall;
    if (takes_interrupt(c)) return take_interrupt(c, to);
    RESUME();
    GO_TO(to);
}

// What p.elw answers; false: the core has to sleep. Of memory it is a plain load.
static bool wait_or_load(Core *c, const Insn *i, uint32_t address, uint32_t *value)
{
    if (memory_at(c->m, address, 4)) {
        *value = load(c, i, address, 4);
        return true;
    }
    const bool goes_on = event_wait(c, i, address, value);
    c->counts.loads++;
    return goes_on;
}

static const Insn *op_p_elw(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    ORDERED(i);
    SETTLE();
    uint32_t value = 0;
    const bool goes_on = wait_or_load(c, i, c->r[i->rs1] + (uint32_t)i->imm, &value);
    count(c, i);
    if (!goes_on) return core_sleep(c, i->next);
    c->r[i->rd] = value;
    return i->next;
}

#include "rows.h"

static const Row rows[] = {
#include "system.def"
};
TABLE(system);
