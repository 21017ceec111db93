// SPDX-License-Identifier: Apache-2.0
// Power: how long the chip is in which state, the cluster's power domain, deep sleep. Which domain
// a write to the power manager's bus (PICL) is for, and which values turn it off, are those of its
// platform model; the times that they take are in no document.
#include "devices.h"

enum { STATUS = 0x00, ACCESS = 0x04, DATA = 0x08, FLAGS = 0x10 };
enum { ACCESS_START = 1 << 28, ACCESS_READ = 1 << 24, BUSY = 1, ACCESS_DONE = 1 << 6, IRQ_PICL = 24 };
enum { CHIP_DOMAIN = 0x700, CLUSTER_DOMAIN = 0x800, LAST_ON = 1 }; // modes 0 and 1: on, at two voltages
enum { EXTERNAL_WAKE = 1 << 10, EVENTS_FROM = 11, COUNTER_EVENT = 31, COUNTER_ON = 1 << 20 };
enum { SOC_EVENT_CLUSTER_ON = 31, WAKE_PADS = 16, WAKE_HIGH = 1, WAKE_LOW = 2 };

// GPIO numbers in the order of SLEEP_GPIO_CTRL.
static const uint8_t PADS[WAKE_PADS] = {42, 43, 65, 66, 67, 68, 89, 88, 40, 41, 34, 35, 36, 37, 39, 38};

static Power *power(Machine *m) { return &m->devices->peripherals.power; }

// ---- time in each state

static bool engines_work(const Machine *m)
{
    return m->due[ACTOR_DMA] != NEVER || m->due[ACTOR_NE16] != NEVER || m->due[ACTOR_L3] != NEVER;
}

static enum PowerState state_of(Machine *m)
{
    if (power(m)->retention) return POWER_RETENTION;
    if (m->awake & CLUSTER_CORES || engines_work(m)) return POWER_RUN;
    if (m->awake) return POWER_CONTROL;
    return power(m)->cluster_off ? POWER_CLUSTER_OFF : POWER_IDLE;
}

// Bins of twice the length.
static void widen(Power *p)
{
    for (int bin = 0; bin < POWER_BINS; bin++)
        for (int state = 0; state < POWER_STATES; state++) {
            const uint64_t cycles = p->bins[bin][state];
            p->bins[bin][state] = 0;
            p->bins[bin / 2][state] += cycles;
        }
    p->bin_bits++;
}

static void keep(Power *p, bool is_slow, Cycle from, Cycle to)
{
    p->cycles[p->state] += to - from;
    p->slow[p->state] += is_slow ? to - from : 0;
    while (to > (Cycle)POWER_BINS << p->bin_bits)
        widen(p);
    for (Cycle end; from < to; from = end) {
        const Cycle bin = from >> p->bin_bits;
        end = (bin + 1) << p->bin_bits;
        if (end > to) end = to;
        p->bins[bin][p->state] += end - from;
    }
}

void power_changed(Machine *m, Cycle at)
{
    Power *p = power(m);
    if (at > p->since) {
        keep(p, m->core_cycles > 1, p->since, at);
        p->since = at;
    }
    p->state = state_of(m);
}

// ---- faults

void power_disturb(Machine *m, int64_t late_rise, int64_t lost_wakes)
{
    power(m)->late_rise += (Cycle)late_rise;
    power(m)->lost_wakes += (uint32_t)lost_wakes;
}

bool power_loses_wake(Machine *m)
{
    if (!power(m)->lost_wakes) return false;
    power(m)->lost_wakes--;
    return true;
}

// ---- domains

static void done(Machine *m)
{
    power(m)->busy = false;
    power(m)->flags |= ACCESS_DONE;
    raise_interrupt(m, IRQ_PICL, m->now);
}

static bool wakes(Machine *m, uint32_t pad)
{
    const uint32_t kind = *chip_word(m, SLEEP_PINS) >> 2 * pad & 3;
    return kind == (gpio_is_high(m, PADS[pad]) ? WAKE_HIGH : WAKE_LOW);
}

static void wake_up(Machine *m, uint32_t event, Cycle at)
{
    *chip_word(m, SLEEP_CONTROL) |= 1u << event;
    due_at(m, DUE_POWER, at + m->chip.deep_sleep_wake_cycles);
    power(m)->waking = true;
}

void power_pins(Machine *m, Cycle at)
{
    const Power *p = power(m);
    if (!p->retention || p->waking || !(*chip_word(m, SLEEP_CONTROL) & EXTERNAL_WAKE)) return;
    for (uint32_t pad = 0; pad < WAKE_PADS; pad++)
        if (wakes(m, pad)) {
            wake_up(m, EVENTS_FROM + pad, at);
            return;
        }
}

static void sleep_deeply(Machine *m)
{
    const uint32_t counter = *chip_word(m, SLEEP_COUNTER);
    cluster_down(m);
    chip_down(m);
    power(m)->retention = true;
    power_changed(m, m->now);
    power_pins(m, m->now);
    if (!power(m)->waking && counter & COUNTER_ON)
        wake_up(m, COUNTER_EVENT, m->now + (counter & (COUNTER_ON - 1)) * (Cycle)m->chip.reference_cycles);
}

static void set_cluster(Machine *m, bool on)
{
    Power *p = power(m);
    if (!on) cluster_down(m);
    else soc_event(m, SOC_EVENT_CLUSTER_ON, m->now);
    p->cluster_off = !on;
    power_changed(m, m->now);
    done(m);
}

void power_due(Machine *m, int which)
{
    Power *p = power(m);
    (void)which;
    if (p->waking) {
        p->waking = p->retention = false;
        power_changed(m, m->now);
        chip_restart(m, false);
    } else if (p->domain == CHIP_DOMAIN) sleep_deeply(m);
    else set_cluster(m, p->mode <= LAST_ON);
}

// A write to a domain's mode; its end is in `busy`, a flag and an interrupt.
static void access(const Access *a, uint32_t value)
{
    Machine *m = a->c->m;
    Power *p = power(m);
    const bool on = p->data <= LAST_ON;
    p->domain = value & 0xffff;
    p->mode = p->data;
    const bool changes =
        (p->domain == CLUSTER_DOMAIN && on == p->cluster_off) || (p->domain == CHIP_DOMAIN && !on);
    if (!(value & ACCESS_START) || value & ACCESS_READ || !changes) return;
    p->busy = true;
    due_at(m, DUE_POWER, a->c->t + (on ? m->chip.cluster_power_cycles + p->late_rise : 1));
    if (on) p->late_rise = 0;
}

uint32_t power_load(const Access *a)
{
    const Power *p = power(a->c->m);
    switch (a->offset) {
    case STATUS: return p->busy ? BUSY : 0;
    case ACCESS: return p->access;
    case DATA: return p->data;
    case FLAGS: return p->flags;
    default: no_register(a);
    }
}

void power_store(const Access *a, uint32_t value)
{
    Power *p = power(a->c->m);
    switch (a->offset) {
    case ACCESS:
        p->access = value;
        access(a, value);
        break;
    case DATA: p->data = value; break;
    case FLAGS: p->flags &= ~value; break;
    default: no_register(a);
    }
}

void power_check(Core *c, const Insn *i, uint32_t address)
{
    if (!power(c->m)->cluster_off) return;
    fault(c->m, c->id, FAULT_ACCESS, pc_of(c->m, i), address,
          "an access to the cluster at 0x%08x, which is powered down", address);
}
