// SPDX-License-Identifier: Apache-2.0
// State of the simulated chip, and what the parts of the core ask of each other.
//
// Time. Every core has a time of its own, `t`: the cycle in which its current instruction issues.
// A core runs ahead on its own as long as it touches nothing that is shared. Whatever touches
// something shared (any load or store, an instruction-cache miss, an event) is ORDERED: it happens
// only when no other actor has an earlier time, so that the outcome is that of a chip in which all
// cores run side by side, to the cycle, whatever the order in which this program steps them.
#pragma once
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chip.h"

typedef uint64_t Cycle;
#define NEVER UINT64_MAX

enum { CORES = 10, CLUSTER_CORES = 0x1ff, REGISTERS = 32, NOWHERE = 32, LOOPS = 2, WHEEL = 64 };

// Who can be scheduled: cores 0..8 of the cluster, the fabric controller, and devices.
enum { FC = 9, ACTOR_DMA = CORES, ACTOR_L3, ACTOR_EVENTS, ACTOR_NE16, ACTOR_PERIPHERALS, ACTORS };

typedef struct Machine Machine;
typedef struct Core Core;
typedef struct Insn Insn;

// Runs one instruction and those behind it from cycle t on; returns what to run next, or NULL to
// hand over. retired: as c->retired, which is out of date while ops follow each other; so is c->t.
typedef const Insn *(*Op)(Core *c, const Insn *i, Cycle t, uint64_t retired);

// A decoded instruction: one for every halfword of L2, decoded when first reached.
struct Insn {
    Op op;            // what runs: decode, enter_line, an observer, or body
    Op body;          // the meaning alone
    Insn *next;       // what follows by address, or the tail of a hardware loop
    Insn *target;     // of a branch or jump to a constant address
    uint64_t retired; // 1, and 1 << 40 for a compressed one
    uint32_t reads;   // a bit for each register read
    int32_t imm;      // immediate, sign-extended as the instruction has it
    uint32_t line;    // number of the cache line of its FIRST byte; set as soon as it is linked
    uint8_t rd, rs1, rs2; // rd is NOWHERE for x0 (r[NOWHERE] is never read)
    uint8_t size;     // 2 or 4 bytes
    uint8_t use_stall; // what it costs if the instruction behind it reads rd, and that one does:
                       // decided when decoded; 0 where it ends a hardware loop: the tail decides
    uint8_t late;      // enum Late
    uint8_t base;      // where a post-increment puts the new address: rs1, or NOWHERE for x0
    bool acts;         // a load, a store, an access to a control register
    bool spins;        // a branch back over a few instructions that only look: spin.c
    bool ahead;        // what follows by address is in the next line, which a jump from here fetches, too
};

// Whose results the next instruction may have to wait for.
enum Late { PROMPT, LATE_LOAD, LATE_MUL, LATE_MULH, LATE_DIV };

enum Stall {
    STALL_LOAD_USE,
    STALL_ARITHMETIC,
    STALL_JUMP,
    STALL_FETCH,
    STALL_BANK,
    STALL_MISALIGNED,
    STALL_OUTSIDE,
    STALL_SLEEP,
    STALLS
};

typedef struct {
    uint64_t instructions, compressed, loads, stores, jumps, branches, taken, macs, outside_loads,
        outside_stores;
    uint64_t stall[STALLS];
} Counts;

// What only the performance counters want to know; cycles beyond the first.
typedef struct {
    uint64_t mul, mul_use, mulh, mulh_use; // multiplications, waits for their results
    uint64_t misaligned, outside_load_cycles, outside_store_cycles;
} Tally;

typedef struct {
    Insn *start, *end;
    uint32_t count;
} HardwareLoop; // NULL: outside L2

// A core at the end of a round of a loop that may wait for somebody: spin.c.
typedef struct {
    const Insn *end; // the branch back; NULL: something has happened since
    Cycle window, t; // window: m->now, the same until somebody else acts
    uint64_t retired;
    uint32_t line, r[REGISTERS + 1], count[LOOPS];
    Counts counts;
    Tally tally;
} Round;

enum Run { RUN_MORE, RUN_EXITED, RUN_FAULT };
enum CoreState { CORE_OFF, CORE_RUNNING, CORE_ASLEEP };

struct Core {
    uint32_t r[REGISTERS + 1];
    Cycle t;             // the cycle in which `at` issues
    Cycle turn;          // ordered work is allowed while t < turn
    Cycle ran_from;      // where t was when the core went on: since then, t counts its own clock
    const Insn *at;      // where to go on after a hand-over or a sleep
    uint64_t retired;    // see Insn.retired; moved to counts by count_retired()
    uint32_t line;       // the cache line that the fetch buffer holds
    Insn copy, pay;      // an instruction that acts before its line's wait, and that wait: fetch.c
    uint32_t owed;       // its cycles
    uint32_t use_wait;   // for a result, behind the wait for the line: waits_add
    const Insn *waited;  // the instruction that has waited last before it ran, ...
    Cycle waited_from, waited_until; // ... and when
    HardwareLoop loop[LOOPS];
    uint8_t *present;    // a byte for every line of L2, and a 0: it is in the core's own cache
    Machine *m;
    int id;              // 0..8, FC = 9
    enum CoreState state;
    uint8_t wait_rd;     // where p.elw puts its result
    bool half_done;      // of a misaligned access: its second half is to come
    Cycle slept_at;
    Counts counts;
    // control and status registers
    uint32_t pcer, pcmr, pccr[32], mstatus, mie, mscratch, mepc, mtvec, mcause;
    uint64_t pccr_from[32]; // what the events counted when pccr was last brought up to date
    uint64_t mcycle_zero, minstret_zero;
    Tally tally;
    Round round;
};

enum Fault {
    FAULT_NONE,
    FAULT_ILLEGAL,
    FAULT_ACCESS,
    FAULT_FETCH,
    FAULT_REGISTER,
    FAULT_DMA,
    FAULT_STACK,
    FAULT_DEADLOCK,
    FAULT_CYCLES,
    FAULT_EBREAK,
    FAULT_ECALL,
    FAULT_INTERRUPT,
    FAULT_MEMORY,
    FAULT_NE16
};

typedef struct {
    enum Fault kind;
    int core;
    uint32_t pc, address, word; // word: the instruction, or the value of the access
    Cycle cycle;
    uint32_t r[REGISTERS];
    uint32_t at[CORES];    // where each core is: what it runs next, or sleeps in
    uint32_t state[CORES]; // enum CoreState
    char text[160];
} FaultReport;

// Who sees what (all off by default); see observe.c.
typedef struct Observer Observer;
typedef struct Devices Devices; // devices.h
typedef struct Caches Caches;   // fetch.c

struct Machine {
    Chip chip;
    uint8_t *l1, *l2, *l3, *mram;
    uint8_t *mram_damaged; // of each word of 16 bytes, whether it has more wrong bits than ECC corrects
    Insn *insns;                // [l2_bytes / 2]
    Insn *tails;                // [l2_bytes / 2]: what follows the last instruction of a loop, ...
    Insn *strays;               // [l2_bytes / 2]: where an instruction leads that leaves L2, or NULL
    uint8_t *code_pages;        // a byte for every 4 kB of L2: instructions have been decoded there
    Cycle bank_free[64];        // when a bank of L1 can serve its next access
    Cycle outer_free[2];        // when the cluster's connection to L2 can: reads, writes
    uint8_t *l1_watched;        // a byte for every 64 B of L1: look closer at accesses (watch.c)
    Core core[CORES];
    // schedule
    Cycle now;                  // time of the actor picked last
    uint32_t core_cycles; // of a cycle of the cores' clock: 1, more while it is divided further (clock.c)
    Cycle core_edge;            // of an edge of their clock
    Cycle due[ACTORS]; // NEVER when not scheduled
    uint64_t plans, planned[ACTORS]; // how often anybody was scheduled anew, and the latest of each
    uint8_t rank[ACTORS]; // who goes first within a cycle: see core_to_front
    uint8_t actor_of[ACTORS]; // by rank
    uint32_t slot[WHEEL]; // a bit a rank, for the cycles now .. now + 63
    uint64_t slots_used;
    uint32_t far; // a bit a rank: due later than that
    Cycle far_first;
    Core *batch[CORES]; // the cores that act in cycle `now`, in order
    int batch_next, batch_used;
    int running; // the core that runs just now, or -1
    uint32_t awake; // a bit a core
    Cycle limit; // end of the time slice
    Cycle max_cycles;
    // end
    bool exited;
    uint32_t exit_code;
    FaultReport fault;
    jmp_buf escape;
    Devices *devices;
    Caches *caches;
    Observer *observer;
};

// ---- schedule.c
void schedule(Machine *m, int actor, Cycle when); // when >= m->now; replaces an earlier plan
void unschedule(Machine *m, int actor);
void core_start(Core *c, uint32_t pc, Cycle when);
const Insn *core_sleep(Core *c, const Insn *resume); // hands over; STALL_SLEEP counts from c->t
void core_wake(Core *c, Cycle when); // continues at c->at in cycle `when`
Cycle next_due(const Machine *m); // of anybody on the lists
void core_to_front(Machine *m, int core); // goes first in every cycle from now on
int run_until(Machine *m, Cycle limit); // RUN_MORE, RUN_EXITED or RUN_FAULT
const Insn *yield(Core *c, const Insn *i); // i runs again when it is this core's turn
Cycle core_edge_from(const Machine *m, Cycle t); // the first edge of the cores' clock from t on
void core_settle(Core *c); // c->t, of a core that runs, becomes a time of the chip
const Insn *hand_over(Core *c, const Insn *i, Cycle t, uint64_t retired); // the same as an op's end
// From inside a register access that the device cannot take yet: leaves the access (a longjmp to
// the scheduler, which goes on with the next actor) and runs all of i again when core_wake() is
// called. So load_slow and store_slow change and count nothing before they ask the device, and the
// device takes back what load() and store() have counted.
_Noreturn void core_hold(Core *c, const Insn *i);
_Noreturn void core_repeat(Core *c, const Insn *i); // the same, where only its turn is missing
void count_retired(Core *c);

// ---- machine.c
bool is_untouched(const uint8_t *block); // 64 bytes that nobody has written

// ---- power.c: who is awake has changed so that the power state may have
void power_changed(Machine *m, Cycle at);

// ---- fault.c
// Ends the run: core (or -1), what, the address it is about, a sentence for people (printf-like).
_Noreturn void fault(Machine *m, int core, enum Fault kind, uint32_t pc, uint32_t address, const char *text,
                     ...);

// Ends the run as the program wished.
_Noreturn void leave(Machine *m, uint32_t exit_code);

// ---- watch.c: see there
void watch_access(Core *c, const Insn *i, uint32_t address, uint32_t size, bool is_store);
void watch_l2(Core *c, const Insn *i, uint32_t address, uint32_t size, bool is_store); // watch_l2.c
void watch_guard(Machine *m, uint32_t address, uint32_t size);

// ---- decode.c
const Insn *decode(Core *c, const Insn *i, Cycle t,
                   uint64_t retired); // Op: fills in i (it is really mutable) and runs it
// Where `from` (NULL: what starts the core) goes; faults where pc is odd or outside L2.
Insn *insn_at(Core *c, const Insn *from, uint32_t pc);
uint32_t pc_of(const Machine *m, const Insn *i);
bool is_own(const Machine *m, const Insn *i); // one of m->insns: no tail, stray or copy
Op plain_op(const Machine *m, const Insn *i); // enter_line, enter_last or the body, by address
void forget_code(Machine *m, uint32_t address, uint32_t size); // L2 bytes were written
Insn *link_to(Machine *m, const Insn *from, uint32_t pc); // never NULL: pc outside L2 is a stray
void fill(Machine *m, Insn *i); // decodes i
bool is_filled(const Insn *i);
uint8_t use_cost(const Machine *m, const Insn *i, const Insn *behind); // cycles `behind` waits for i
uint32_t word_at(const Machine *m, uint32_t pc); // 0: not all inside L2
const char *name_of(uint32_t word); // of an instruction; NULL: illegal

// ---- spin.c
bool may_spin(const Machine *m, uint32_t branch, uint32_t target);
const Insn *spin(Core *c, const Insn *i, Cycle t, uint64_t retired); // behind a branch that was taken
void forget_round(Core *c); // who has loaded what may be another value the next time

// ---- hwloop.c
void set_loop_end(Core *c, int loop, Insn *end); // end: LAST instruction
void make_tail(Machine *m, Insn *end);
const Insn *loop_tail(Core *c, const Insn *i, Cycle t, uint64_t retired); // Op of a tail

// ---- fetch.c
// The fetch buffer holds one line. An instruction at a line's start is entered through enter_line,
// one in a line's last halfword through enter_last (which fetches the line behind as well, whatever
// its size: that is how the prefetcher works), all others run their body at once; jumps check.
const Insn *enter_line(Core *c, const Insn *i, Cycle t, uint64_t retired); // Op
const Insn *enter_last(Core *c, const Insn *i, Cycle t, uint64_t retired); // Op
const Insn *go_to_line(Core *c, const Insn *i, Cycle t, uint64_t retired); // Op: i in another line
const Insn *fetch(Core *c, const Insn *i); // its line into the buffer; what to run, NULL: handed over
bool fetch_waits(const Core *c, const Insn *i); // whether it would have to wait for its line
const Insn *fetch_owing(Core *c, const Insn *i, uint32_t cycles); // the same that waits afterwards
void wait_before(Core *c, const Insn *i, Cycle cycles); // i runs that much later
bool fetch_ahead(Core *c, const Insn *i); // the line behind that of i; false: handed over, i comes again
void fetch_flush(Machine *m, bool cluster);
void fetch_enable(Machine *m, bool cluster, bool on);
bool fetch_new(Machine *m); // false: no memory
void fetch_free(Machine *m);

// ---- memory.c: everything behind the inline fast path; c->t grows by the time the core is held.
// Called with the turn. size 1, 2 or 4. Loads return the bytes zero-extended.
uint32_t load_slow(Core *c, const Insn *i, uint32_t address, uint32_t size);
void store_slow(Core *c, const Insn *i, uint32_t address, uint32_t size, uint32_t value);
// Plain bytes of L1, L2 (not registers) for devices and semihosting; NULL if not all inside.
uint8_t *memory_at(Machine *m, uint32_t address, uint32_t size);
// After writing through memory_at: decoded instructions there are stale.
void memory_written(Machine *m, uint32_t address, uint32_t size);
// Takes the cluster's connection to L2; returns the cycles that are waited for it.
Cycle outer_access(Machine *m, bool is_write, uint32_t bytes, Cycle t);

// ---- devices.c: registers; called with the turn, at time c->t (their latency is added by memory.c)
// (i: the instruction that accesses, for faults and core_hold)
bool is_register(const Machine *m, uint32_t address);
uint32_t register_load(Core *c, const Insn *i, uint32_t address, uint32_t size);
void register_store(Core *c, const Insn *i, uint32_t address, uint32_t size, uint32_t value);
void actor_due(Machine *m, int actor); // a device's time has come: m->now
// p.elw: true and *value if the core goes on; its cycles beyond the first are then in c->t. False
// if it has to sleep until events wake it: r[wait_rd] is then written by the waker.
bool event_wait(Core *c, const Insn *i, uint32_t address, uint32_t *value);
// wfi and semihosting (op in a0, argument in a1; answer in a0), their instructions already counted
// and their cycles in c->t: returns `next`, or hands over.
const Insn *wait_for_interrupt(Core *c, const Insn *next);
const Insn *semihosting(Core *c, const Insn *next);
// itc.c: interrupts in front of `next`, once mstatus.MIE may have been set; mret's target.
bool takes_interrupt(const Core *c);
const Insn *take_interrupt(Core *c, const Insn *next); // hands over
const Insn *return_from_interrupt(Core *c, const Insn *i);
bool devices_new(Machine *m); // false: no memory
void devices_free(Machine *m);

// ---- observe.c: what people want to see; each costs nothing when it is not asked for
bool observes(const Machine *m, uint32_t pc);
const Insn *observe(Core *c, const Insn *i, Cycle t,
                    uint64_t retired); // Op in front of plain_op where observes() says so
enum Traced { TRACE_DMA_IN, TRACE_DMA_OUT, TRACE_L3_READ, TRACE_L3_WRITE, TRACE_ASLEEP, TRACE_NE16 };
void trace_transfer(Machine *m, int what, Cycle start, Cycle end, uint32_t bytes,
                    uint32_t address); // what: enum Traced
void trace_asleep(Core *c, Cycle from, Cycle to);

// ---- csr.c
uint32_t csr_read(Core *c, const Insn *i, uint32_t number);
void csr_write(Core *c, const Insn *i, uint32_t number, uint32_t value);
void settle_counters(Core *c); // brings pccr up to date

#include "ends.h"
