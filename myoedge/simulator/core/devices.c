// SPDX-License-Identifier: Apache-2.0
// Which device an address belongs to.
#include <stdlib.h>

#include "devices.h"

typedef struct {
    uint32_t base, size;
    enum Device device;
    uint32_t (*load)(const Access *a); // NULL: all its registers are write-only
    void (*store)(const Access *a, uint32_t value);
    bool bytes; // takes accesses of any size
} Region;

// Addresses of GAP9 and, where they differ and do not collide, of pulp-open.
static const Region REGIONS[] = {
    {0x10204000, 0x800, DEVICE_EVENT_UNIT, event_unit_load, event_unit_store, false},
    {0x10204800, 0x400, DEVICE_MCHAN, dma_load, dma_store, false},
    {0x10201800, 0x400, DEVICE_MCHAN, dma_outer_load, dma_outer_store, false},
    {0x10200000, 0x400, DEVICE_CLUSTER_CONTROL, cluster_control_load, cluster_control_store, false},
    {0x10200400, 0x400, DEVICE_TIMER, timer_load, timer_store, false},
    {0x10200800, 0x800, DEVICE_EVENT_UNITS, event_units_load, event_units_store, false},
    {0x10201000, 0x400, DEVICE_NE16, ne16_load, ne16_store, false},
    {0x10201400, 0x400, DEVICE_CLUSTER_CACHE, NULL, cluster_cache_store, false},
    {0x1a100000, 0x1000, DEVICE_FLL, fll_load, fll_store, false},
    {0x1a101000, 0x1000, DEVICE_GPIO, gpio_load, gpio_store, false},
    {0x1a102000, 0x80, DEVICE_UDMA, udma_load, udma_store, false},
    {0x1a102080, 0x200, DEVICE_SPI, spi_load, spi_store, false},
    {0x1a102280, 0x200, DEVICE_UART, uart_load, uart_store, false},
    {0x1a102480, 0x280, DEVICE_HYPER, hyper_load, hyper_store, false},
    {0x1a102700, 0x80, DEVICE_OCTOSPI, octospi_load, octospi_store, false},
    {0x1a102b00, 0x80, DEVICE_MRAM, mram_load, mram_store, false},
    {0x1a102880, 0x80, DEVICE_HYPER_COMMON, hyper_common_load, hyper_common_store, false},
    {0x1a103000, 0x800, DEVICE_UDMA_CHANNEL, udma_channel_load, udma_channel_store, false},
    {0x1a104000, 0x1000, DEVICE_CHIP_CONTROL, chip_control_load, chip_control_store, false},
    {0x1a106000, 0x1000, DEVICE_SOC_EVENTS, soc_events_load, soc_events_store, false},
    {0x1a107000, 0x1000, DEVICE_POWER, power_load, power_store, false},
    {0x1a108800, 0x800, DEVICE_FC_CACHE, NULL, fc_cache_store, false},
    {0x1a109000, 0x40, DEVICE_ITC, itc_load, itc_store, false},
    {0x1a109800, 0x40, DEVICE_ITC, itc_load, itc_store, false},
    {0x1a10b000, 0x40, DEVICE_TIMER, timer_load, timer_store, false},
    {0x1a10b800, 0x40, DEVICE_TIMER, timer_load, timer_store, false},
    {0x1a10f000, 0x1000, DEVICE_STDOUT, NULL, stdout_store, true},
    {0x1a10f000, 0x1000, DEVICE_EFUSE, efuse_load, efuse_store, false},
    {0x1a120000, 0x1000, DEVICE_STDOUT, NULL, stdout_store, true},
};
enum { FIRST_OF_CHIP = 0x1a000000 }; // those below are the cluster's
enum { GAP9_HART = 9, EFUSES = 0x1a10f000 };
enum { REGION_COUNT = sizeof REGIONS / sizeof REGIONS[0] };

static const Region *region_of(uint32_t address)
{
    for (int r = 0; r < REGION_COUNT; r++)
        if (address - REGIONS[r].base < REGIONS[r].size) return &REGIONS[r];
    return NULL;
}

bool is_register(const Machine *m, uint32_t address)
{
    (void)m;
    return region_of(address) != NULL;
}

_Noreturn void no_register(const Access *a)
{
    fault(a->c->m, a->c->id, FAULT_REGISTER, pc_of(a->c->m, a->i), a->address,
          "no register is known at 0x%08x", a->address);
}

_Noreturn void misused(const Access *a, enum Fault kind, const char *what)
{
    fault(a->c->m, a->c->id, kind, pc_of(a->c->m, a->i), a->address, "%s", what);
}

static void check_size(const Access *a, const Region *region, uint32_t size)
{
    if (region->bytes || (size == 4 && !(a->address & 3))) return;
    fault(a->c->m, a->c->id, FAULT_REGISTER, pc_of(a->c->m, a->i), a->address,
          "the register at 0x%08x takes aligned words, not %u bytes", a->address, size);
}

// Where pulp-open's shorter event unit ends, its DMA begins; where its stdout is, GAP9 has its eFUSEs.
static const Region *seen_region(const Machine *m, uint32_t address)
{
    const Region *region = region_of(address);
    if (region == &REGIONS[0] && address - region->base >= m->chip.event_unit_bytes) region++;
    if (region && region->base == EFUSES && m->chip.fc_hart == GAP9_HART) region++;
    return region;
}

// NULL: the access does nothing.
static const Region *reach(Access *a, uint32_t size, bool is_store)
{
    const Region *region = seen_region(a->c->m, a->address);
    if (!region) no_register(a);
    if (a->c->id == FC && a->address < FIRST_OF_CHIP) power_check(a->c, a->i, a->address);
    a->offset = (a->address - region->base) % region->size;
    check_size(a, region, size);
    return takes_access(a, region->device, is_store) ? region : NULL;
}

uint32_t register_load(Core *c, const Insn *i, uint32_t address, uint32_t size)
{
    Access a = {c, i, address, 0};
    const Region *region = reach(&a, size, false);
    return region ? region->load(&a) : 0;
}

void register_store(Core *c, const Insn *i, uint32_t address, uint32_t size, uint32_t value)
{
    Access a = {c, i, address, 0};
    const Region *region = reach(&a, size, true);
    if (region) region->store(&a, value);
}

void actor_due(Machine *m, int actor)
{
    if (actor == ACTOR_DMA) dma_due(m);
    else if (actor == ACTOR_L3) l3_due(m);
    else if (actor == ACTOR_EVENTS) timers_due(m);
    else if (actor == ACTOR_NE16) ne16_due(m);
    else if (actor == ACTOR_PERIPHERALS) peripherals_due(m);
}

const DeviceCounts *device_counts(const Machine *m) { return &m->devices->counts; }

void core_waits(Core *c, enum Waiting cause) { c->m->devices->waiting[c->id] = cause; }

void dma_new(Dma *dma)
{
    for (int i = 0; i < CORES; i++)
        dma->granted[i] = -1;
    for (int i = 0; i < CHANNELS; i++)
        dma->channel[i].id = -1;
    for (int i = 0; i < STEPS; i++)
        dma->due[i] = NEVER;
    dma->current[0] = dma->current[1] = -1;
}

enum { MOST_PAUSE = 1 << 12 }; // cycles between two accesses of NE16

static void bound(uint32_t *parameter, uint32_t least, uint32_t most)
{
    if (*parameter < least) *parameter = least;
    if (*parameter > most) *parameter = most;
}

// The description can ask for less than there are arrays for, never for more.
static void bound_parameters(Chip *chip)
{
    bound(&chip->cluster_cores, 1, CLUSTER);
    bound(&chip->barriers, 0, BARRIERS);
    bound(&chip->mutexes, 0, MUTEXES);
    bound(&chip->software_events, 0, 32);
    bound(&chip->dma_ids, 1, DMA_IDS);
    bound(&chip->dma_core_queue, 1, DMA_DEPTH);
    bound(&chip->dma_global_queue, 1, DMA_DEPTH);
    bound(&chip->dma_requests, 1, DMA_DEPTH);
    bound(&chip->dma_burst_bytes, 1, UINT32_MAX);
    bound(&chip->dma_ports, 1, DMA_PORTS);
    bound(&chip->dma_port_bytes, 1, UINT32_MAX);
    bound(&chip->dma_step_cycles, 1, UINT32_MAX);
    bound(&chip->l3_queue, 1, L3_DEPTH);
    bound(&chip->l3_slots, 0, L3_SLOTS);
    bound(&chip->fc_clock_x256, 1, UINT32_MAX);
    bound(&chip->periph_clock_x256, 1, UINT32_MAX);
    bound(&chip->ne16_load_cycles, 0, MOST_PAUSE);
    bound(&chip->ne16_filter_cycles, 0, MOST_PAUSE);
    bound(&chip->ne16_pixel_cycles, 0, MOST_PAUSE);
    bound(&chip->ne16_depthwise_cycles, 0, MOST_PAUSE);
    bound(&chip->ne16_drain_cycles, 0, MOST_PAUSE);
}

bool devices_new(Machine *m)
{
    bound_parameters(&m->chip);
    Devices *d = m->devices = calloc(1, sizeof *d);
    if (!d) return false;
    d->watch.transfers = calloc(m->chip.l1_bytes / 64 + 1, sizeof *d->watch.transfers);
    d->ne16 = ne16_new();
    d->output.bytes = malloc(m->chip.output_bytes + (size_t)1);
    d->files.folder = -1;
    dma_new(&d->dma);
    peripherals_new(m);
    return d->watch.transfers && d->ne16 && d->output.bytes;
}

void devices_free(Machine *m)
{
    Devices *d = m->devices;
    if (!d) return;
    files_close(m);
    peripherals_free(m);
    free(d->watch.transfers);
    free(d->ne16);
    free(d->output.bytes);
    free(d);
    m->devices = NULL;
}
