// SPDX-License-Identifier: Apache-2.0
#include "machine.h"

#include <stdlib.h>
#include <string.h>

// What memories hold before anybody wrote to them: no program may count on zeros.
enum { UNTOUCHED = 0x57 };
enum { PAGE_BYTES = 4096, WATCH_BYTES = 64, MOST_BANKS = 64 };

Machine *machine_new(void)
{
    Machine *m = calloc(1, sizeof *m);
    if (m) m->observer = calloc(1, sizeof(Observer));
    if (m && m->observer) return m;
    free(m);
    return NULL;
}

void machine_free(Machine *m)
{
    if (!m) return;
    Observer *o = m->observer;
    free(o->marks);
    free(o->snapshots);
    free(o->kept);
    free(o->profile);
    free(o->executed);
    free(o->steps);
    free(o->spans);
    free(o);
    if (m->devices) devices_free(m);
    fetch_free(m);
    free(m->l1);
    free(m->l2);
    free(m->l3);
    free(m->mram);
    free(m->mram_damaged);
    free(m->insns);
    free(m->tails);
    free(m->strays);
    free(m->code_pages);
    free(m->l1_watched);
    free(m);
}

static const struct {
    const char *name;
    size_t offset;
} PARAMETERS[] = {
#define X(name) {#name, offsetof(Chip, name)},
    CHIP_PARAMETERS(X)
#undef X
};
enum { PARAMETER_COUNT = sizeof PARAMETERS / sizeof PARAMETERS[0] };

const char *machine_parameter(uint32_t index)
{
    return index < PARAMETER_COUNT ? PARAMETERS[index].name : NULL;
}

int machine_set(Machine *m, const char *parameter, uint32_t value)
{
    for (uint32_t i = 0; i < PARAMETER_COUNT; i++) {
        if (strcmp(PARAMETERS[i].name, parameter)) continue;
        memcpy((char *)&m->chip + PARAMETERS[i].offset, &value, sizeof value);
        return 1;
    }
    return 0;
}

static bool power_of_two(uint32_t n) { return n && !(n & (n - 1)); }

static bool plausible(const Chip *chip)
{
    return power_of_two(chip->l1_banks) && chip->l1_banks <= MOST_BANKS && power_of_two(chip->line_bytes)
        && chip->line_bytes >= 4 && power_of_two(chip->l0_sets) && power_of_two(chip->l0_ways)
        && power_of_two(chip->l0_master_sets) && power_of_two(chip->l1_cache_banks)
        && power_of_two(chip->l1_cache_sets) && power_of_two(chip->l1_cache_ways)
        && power_of_two(chip->fc_cache_sets) && power_of_two(chip->fc_cache_ways) && chip->cluster_cores <= FC
        && chip->cluster_cores > 0 && chip->l1_bytes % WATCH_BYTES == 0 && chip->l2_bytes % PAGE_BYTES == 0
        && chip->l1_bytes && chip->l2_bytes;
}

static void core_new(Machine *m, int id)
{
    Core *c = &m->core[id];
    c->m = m;
    c->id = id;
    c->state = CORE_OFF;
    m->rank[id] = (uint8_t)id;
}

int machine_boot(Machine *m)
{
    const Chip *chip = &m->chip;
    if (m->l1 || !plausible(chip)) return 0;
    m->l1 = calloc(1, chip->l1_bytes);
    m->l2 = calloc(1, chip->l2_bytes);
    m->l3 = calloc(1, chip->l3_bytes ? chip->l3_bytes : 1);
    m->mram = malloc(chip->mram_bytes ? chip->mram_bytes : 1);
    m->mram_damaged = calloc(1, chip->mram_bytes / 16 + 1);
    m->insns = calloc(chip->l2_bytes / 2 + 2, sizeof(Insn));
    m->tails = calloc(chip->l2_bytes / 2 + 2, sizeof(Insn));
    m->code_pages = calloc(chip->l2_bytes / PAGE_BYTES, 1);
    m->l1_watched = calloc(chip->l1_bytes / WATCH_BYTES + 1, 1);
    if (!m->l1 || !m->l2 || !m->l3 || !m->mram || !m->mram_damaged || !m->insns || !m->tails || !m->code_pages
        || !m->l1_watched)
        return 0;
    memset(m->l1, UNTOUCHED, chip->l1_bytes);
    memset(m->l2, UNTOUCHED, chip->l2_bytes);
    mram_erase_all(m);
    m->far_first = NEVER;
    m->core_cycles = 1;
    m->running = -1;
    m->max_cycles = NEVER - 1;
    for (int id = 0; id < CORES; id++)
        core_new(m, id);
    for (int actor = 0; actor < ACTORS; actor++) {
        m->rank[actor] = m->actor_of[actor] = (uint8_t)actor;
        m->due[actor] = NEVER;
    }
    if (!fetch_new(m)) return 0;
    return devices_new(m);
}

int machine_write(Machine *m, uint32_t address, const uint8_t *bytes, uint32_t size)
{
    uint8_t *to = memory_at(m, address, size);
    if (!to) return 0;
    memcpy(to, bytes, size);
    memory_written(m, address, size);
    return 1;
}

int machine_read(Machine *m, uint32_t address, uint8_t *bytes, uint32_t size)
{
    const uint8_t *from = memory_at(m, address, size);
    if (from) memcpy(bytes, from, size);
    return from != NULL;
}

int machine_start(Machine *m, uint32_t entry)
{
    if (!restart_keep(m, entry) || setjmp(m->escape)) return 0;
    core_start(&m->core[FC], entry, 0);
    return 1;
}

int machine_flash(Machine *m, const uint8_t *bytes, uint32_t size)
{
    if (size > m->chip.mram_bytes) return 0;
    memcpy(m->mram, bytes, size);
    return 1;
}

const uint8_t *machine_flash_bytes(const Machine *m) { return m->mram; }
uint8_t *machine_flash_damaged(const Machine *m) { return m->mram_damaged; }

int machine_fuse(Machine *m, uint32_t number, uint32_t value)
{
    if (number >= EFUSE_WORDS) return 0;
    m->devices->peripherals.efuse.word[number] = value;
    return 1;
}

void machine_power_cut(Machine *m, uint32_t seed) { mram_power_cut(m, seed); }
void machine_play(Machine *m, const Playback *playback) { playback_start(m, playback); }
int machine_run(Machine *m, Cycle limit) { return run_until(m, limit); }
Cycle machine_now(const Machine *m) { return m->now; }
void machine_limit(Machine *m, Cycle max_cycles) { m->max_cycles = max_cycles; }
uint32_t machine_exit_code(const Machine *m) { return m->exit_code; }
const FaultReport *machine_fault(const Machine *m) { return &m->fault; }
void machine_guard(Machine *m, uint32_t address, uint32_t size) { watch_guard(m, address, size); }
const DeviceCounts *machine_device_counts(const Machine *m) { return device_counts(m); }
uint32_t machine_l2_base(const Machine *m) { return m->chip.l2_base; }
uint32_t machine_l2_bytes(const Machine *m) { return m->chip.l2_bytes; }

void machine_recorded(Machine *m, Recorded *recorded)
{
    power_changed(m, m->now);
    const Observer *o = m->observer;
    const Line *line = &m->devices->peripherals.line;
    const Ready *ready = &m->devices->peripherals.front_end.ready;
    const Power *power = &m->devices->peripherals.power;
    *recorded = (Recorded){o->marks,      o->marks_used, o->kept,        o->kept_used,    o->profile,
                           o->steps,      o->steps_used, o->steps_lost,  o->spans,        o->spans_used,
                           o->spans_lost, line->bytes,   line->used,     ready->frames,   ready->used,
                           power->cycles, power->slow,   power->bins[0], power->bin_bits, power->restarts,
                           o->executed};
}

const Counts *machine_counts(Machine *m, uint32_t core)
{
    if (core >= CORES) return NULL;
    count_retired(&m->core[core]);
    return &m->core[core].counts;
}

bool is_untouched(const uint8_t *block)
{
    uint8_t other = 0;
    for (int i = 0; i < WATCH_BYTES; i++)
        other |= block[i] ^ UNTOUCHED;
    return !other;
}

uint32_t machine_touched_bytes(const Machine *m, int level)
{
    const uint8_t *memory = level == 1 ? m->l1 : m->l2;
    const uint32_t size = level == 1 ? m->chip.l1_bytes : m->chip.l2_bytes;
    uint32_t touched = 0;
    for (uint32_t at = 0; at + WATCH_BYTES <= size; at += WATCH_BYTES)
        if (!is_untouched(memory + at)) touched += WATCH_BYTES;
    return touched;
}

int machine_core_state(const Machine *m, uint32_t core)
{
    return core < CORES ? (int)m->core[core].state : -1;
}

int machine_watch_mark(Machine *m, uint32_t pc, const Snapshot *snapshots, uint32_t count)
{
    Observer *o = m->observer;
    o->mark_pc = pc;
    o->snapshots = calloc(count ? count : 1, sizeof(Snapshot));
    if (!o->snapshots) return 0;
    if (count) memcpy(o->snapshots, snapshots, count * sizeof(Snapshot));
    o->snapshots_used = count;
    return 1;
}

int machine_profile(Machine *m)
{
    m->observer->executed = calloc(m->chip.l2_bytes / 2 + 2, sizeof(uint64_t));
    if (m->observer->executed) m->observer->profile = calloc(m->chip.l2_bytes / 2 + 2, sizeof(uint64_t));
    return m->observer->profile != NULL;
}

int machine_steps(Machine *m, Cycle from, Cycle to, uint32_t cores, uint32_t room)
{
    Observer *o = m->observer;
    o->from = from;
    o->to = to;
    o->cores = cores;
    o->steps = calloc(room ? room : 1, sizeof(Step));
    o->steps_room = o->steps ? room : 0;
    return o->steps != NULL;
}

int machine_spans(Machine *m, uint32_t room)
{
    m->observer->spans = calloc(room ? room : 1, sizeof(Span));
    m->observer->spans_room = m->observer->spans ? room : 0;
    return m->observer->spans != NULL;
}
