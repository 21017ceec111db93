// SPDX-License-Identifier: Apache-2.0
// What people want to see of a run: marks of the program (layers), a profile, a window of executed
// instructions, who slept and moved data when.
#pragma once
#include "core.h"

// The program called its function me_mark(value): the state of all counters just then.
typedef struct {
    Cycle cycle;
    int32_t value;
    uint32_t core;
    Counts counts[CORES];
    uint64_t dma_bytes, dma_busy_cycles, l3_bytes, l3_busy_cycles, ne16_busy_cycles;
    uint64_t mram_bytes;
} Mark;

// Bytes to keep when a mark of that value is passed.
typedef struct {
    int32_t value;
    uint32_t address, size;
} Snapshot;

typedef struct {
    Cycle cycle;
    uint32_t pc, core, reg, value; // reg: the register it wrote last, NOWHERE: none
} Step;

typedef struct {
    Cycle start, end;
    uint32_t what, core, bytes, address; // what: enum Traced
} Span;

struct Observer {
    uint32_t mark_pc;              // 0: none
    Mark *marks;
    size_t marks_used, marks_room;
    Snapshot *snapshots;
    size_t snapshots_used;
    uint8_t *kept;                 // the bytes of the snapshots, in the order of the marks
    size_t kept_used, kept_room;
    uint64_t *profile;             // cycles by halfword of L2, NULL: not wanted
    uint64_t *executed;            // how often cores 0 .. 7 executed it, likewise
    Cycle from, to;                // window of steps, from == to: none
    uint32_t cores;                // a bit for each core in it
    Step *steps;
    size_t steps_used, steps_room;
    Span *spans;
    size_t spans_used, spans_room; // room 0: not wanted
    uint64_t spans_lost, steps_lost;
    const Insn *last[CORES];       // what each core ran last, and when it began
    Cycle last_t[CORES];
    uint64_t last_retired[CORES];
};

bool observes_all(const Machine *m); // every instruction goes through observe()
