// SPDX-License-Identifier: Apache-2.0
// What Python calls. All of it returns; a bad program ends in a fault report.
#pragma once
#include "devices.h"
#include "observe.h"

// Everything that was recorded; the arrays stay the machine's.
typedef struct {
    const Mark *marks;
    uint64_t mark_count;
    const uint8_t *kept;
    uint64_t kept_bytes;
    const uint64_t *profile;
    const Step *steps;
    uint64_t step_count, steps_lost;
    const Span *spans;
    uint64_t span_count, spans_lost;
    const LineByte *line; // what the UARTs sent
    uint64_t line_count;
    const ReadyFrame *ready; // of the front end
    uint64_t ready_count;
    const uint64_t *state_cycles; // [POWER_STATES]
    const uint64_t *slow_cycles;  // likewise, of them those at a slower clock of the cores
    const uint64_t *state_bins;   // [POWER_BINS][POWER_STATES]
    uint64_t bin_bits;
    uint64_t restarts;
    const uint64_t *executed;
} Recorded;

Machine *machine_new(void);
void machine_free(Machine *m);
int machine_set(Machine *m, const char *parameter, uint32_t value); // 0: no such parameter
const char *machine_parameter(uint32_t index);                     // NULL behind the last
int machine_boot(Machine *m);                                      // 0: no memory, or bad parameters
int machine_write(Machine *m, uint32_t address, const uint8_t *bytes, uint32_t size); // 0: outside
int machine_read(Machine *m, uint32_t address, uint8_t *bytes, uint32_t size);
int machine_start(Machine *m, uint32_t entry);
int machine_flash(Machine *m, const uint8_t *bytes, uint32_t size); // 0: too many
const uint8_t *machine_flash_bytes(const Machine *m);
uint8_t *machine_flash_damaged(const Machine *m); // by word of 16 bytes: whether ECC does not correct it
int machine_fuse(Machine *m, uint32_t number, uint32_t value); // a word of the eFUSEs; 0: no such word
void machine_power_cut(Machine *m, uint32_t seed); // the flash is left as it is then
void machine_play(Machine *m, const Playback *playback); // stays the caller's until the end
// Disturbs the machine now; where: an address, 32 core + register, or a core; 0: there is no such place.
enum Disturbance { DISTURB_MEMORY, DISTURB_REGISTER, DISTURB_DMA, DISTURB_INTERRUPT };
int machine_disturb(Machine *m, uint32_t kind, uint32_t where, uint32_t bit);
int machine_run(Machine *m, Cycle limit); // enum Run
Cycle machine_now(const Machine *m);
void machine_limit(Machine *m, Cycle max_cycles);
uint32_t machine_exit_code(const Machine *m);
const FaultReport *machine_fault(const Machine *m);
const Counts *machine_counts(Machine *m, uint32_t core);
const DeviceCounts *machine_device_counts(const Machine *m);
uint32_t machine_l2_base(const Machine *m);
uint32_t machine_l2_bytes(const Machine *m);
uint32_t machine_touched_bytes(const Machine *m, int level); // 1: L1, 2: L2; blocks of 64 bytes
int machine_core_state(const Machine *m, uint32_t core);
void machine_guard(Machine *m, uint32_t address, uint32_t size); // a stack's last bytes
// observation
int machine_watch_mark(Machine *m, uint32_t pc, const Snapshot *snapshots, uint32_t count);
int machine_profile(Machine *m);
int machine_steps(Machine *m, Cycle from, Cycle to, uint32_t cores, uint32_t room);
int machine_spans(Machine *m, uint32_t room);
void machine_recorded(Machine *m, Recorded *recorded);
