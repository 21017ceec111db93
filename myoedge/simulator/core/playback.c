// SPDX-License-Identifier: Apache-2.0
// A recording as the world that the program runs in: when the front end has converted which frame,
// what its data-ready pin does, what goes wrong. Frame k of the recording is there a fixed time
// after frame 0, whether anybody looks or not; frame 0 is the first conversion after the start.
#include <stdlib.h>

#include "devices.h"

enum {
    WRONG_JITTER,
    WRONG_MISSED,
    WRONG_DOUBLED,
    WRONG_BIT,
    WRONG_RESET,
    WRONG_STALL,
    WRONG_HOLD,
    WRONG_RISE,
    WRONG_WAKE,
    WRONG_CLOCK
};
enum { CHIP_CLOCK_HZ = 2048000, SETTLE_HALVES = 9, SETTLE_CLOCKS = 8, FIRST_ROOM = 4096 };

static FrontEnd *front_end(Machine *m) { return &m->devices->peripherals.front_end; }

// Of n frames of the recording, and of n conversions of the chip's rate.
static Cycle frames_cycles(const Playback *p, uint64_t n)
{
    return n * p->clock_hz * p->rate_den / p->rate_num;
}

static bool is_chip(const FrontEnd *f) { return f->kind == ADS1298 || f->kind == ADS1299; }

static Cycle conversions_cycles(const FrontEnd *f, uint64_t n)
{
    const Playback *p = f->playback;
    const uint64_t rate = is_chip(f) ? front_end_rate(f) : 0;
    if (!rate || rate * p->rate_den == p->rate_num) return frames_cycles(p, n);
    return n * p->clock_hz / rate;
}

// The frame that is there in cycle t.
static uint64_t frame_at(const FrontEnd *f, Cycle t)
{
    const Playback *p = f->playback;
    return (t - f->origin + 1) * p->rate_num / (p->rate_den * p->clock_hz);
}

// The value of what goes wrong with a frame in this way, or `otherwise`. Faults are in order.
static int64_t wrong(FrontEnd *f, uint64_t frame, uint32_t kind, int64_t otherwise)
{
    const Playback *p = f->playback;
    while (f->next_fault < p->fault_count && p->faults[f->next_fault].frame < frame)
        f->next_fault++;
    for (uint32_t k = f->next_fault; k < p->fault_count && p->faults[k].frame == frame; k++)
        if (p->faults[k].kind == kind) return p->faults[k].value;
    return otherwise;
}

static void plan(Machine *m)
{
    FrontEnd *f = front_end(m);
    const Cycle when = f->base + conversions_cycles(f, f->conversions);
    if (!f->converting || frame_at(f, when) >= f->playback->frames) {
        due_at(m, DUE_READY, NEVER);
        return;
    }
    const int64_t late = wrong(f, frame_at(f, when), WRONG_JITTER, 0);
    due_at(m, DUE_READY, (Cycle)((int64_t)when + late));
}

// The filter has to settle: 4.5 conversions and a little.
static Cycle settling(const FrontEnd *f)
{
    const uint64_t clock_hz = f->playback->clock_hz;
    return conversions_cycles(f, SETTLE_HALVES) / 2 + SETTLE_CLOCKS * clock_hz / CHIP_CLOCK_HZ;
}

static void begin(Machine *m, Cycle at)
{
    FrontEnd *f = front_end(m);
    const Playback *p = f->playback;
    f->converting = true;
    f->conversions = 0;
    f->base = is_chip(f) ? at + settling(f) : at;
    if (f->origin != NEVER) return;
    if (f->base < p->start) f->base = p->start;
    f->origin = f->base;
    due_at(m, DUE_END, f->origin + frames_cycles(p, p->frames) + p->tail);
}

void conversions_changed(Machine *m, Cycle at, bool anew)
{
    FrontEnd *f = front_end(m);
    const bool wanted = (f->started || f->start_pin) && !f->standby && !f->held && front_end_rate(f);
    if (!is_chip(f)) return;
    if (!wanted) f->converting = false;
    else if (!f->converting || anew) begin(m, at);
    else return;
    f->has_frame = false;
    plan(m);
}

void front_end_pins(Machine *m, Cycle at)
{
    FrontEnd *f = front_end(m);
    if (!f->playback || !is_chip(f)) return;
    const bool start = f->playback->start_pin != NO_PIN && gpio_level(m, f->playback->start_pin) > 0;
    const bool held = f->playback->reset_pin != NO_PIN && !gpio_level(m, f->playback->reset_pin);
    const bool was_held = f->held, changed = start != f->start_pin || held != was_held;
    f->start_pin = start;
    f->held = held;
    if (held && !was_held) front_end_reset(f);
    if (changed) conversions_changed(m, at, was_held);
}

// ---- what the program sees of a frame

static void ready_pin(Machine *m, bool level, Cycle at)
{
    const uint32_t pin = front_end(m)->playback->ready_pin;
    if (pin != NO_PIN) gpio_input(m, pin, level, at);
}

static void ready_edge(Machine *m)
{
    ready_pin(m, true, m->now);
    ready_pin(m, false, m->now);
}

void data_read(Machine *m, uint8_t *bytes, uint32_t count, Cycle at)
{
    FrontEnd *f = front_end(m);
    ready_pin(m, true, at);
    if (f->bit >= 0 && f->bit < 8 * (int64_t)count) bytes[f->bit / 8] ^= (uint8_t)(0x80 >> f->bit % 8);
    f->bit = -1;
}

static void record(Machine *m, FrontEnd *f)
{
    Ready *r = &f->ready;
    if (r->used == r->room) {
        const size_t room = r->room ? 2 * r->room : FIRST_ROOM;
        ReadyFrame *grown = realloc(r->frames, room * sizeof *grown);
        if (!grown) fault(m, -1, FAULT_MEMORY, 0, 0, "no memory left for the frames that were ready");
        r->frames = grown;
        r->room = room;
    }
    r->frames[r->used++] = (ReadyFrame){m->now, f->frame};
}

// Cores of the cluster that are awake stand still for so long.
static void hold_cluster(Machine *m, Cycle cycles)
{
    for (int id = 0; id < FC; id++) {
        Core *c = &m->core[id];
        if (c->state != CORE_RUNNING) continue;
        c->t += cycles;
        schedule(m, id, c->t);
    }
}

// A frame of a front end that sends by itself.
static void transmit(Machine *m, FrontEnd *f)
{
    const uint64_t first = (uint64_t)f->frame * f->playback->frame_bytes;
    if (f->sending == f->sending_end) {
        f->sending = first;
        due_at(m, DUE_BYTE, m->now + uart_byte_cycles(m, f->playback->uart));
    }
    f->sending_end = first + f->playback->frame_bytes;
}

void byte_due(Machine *m, int which)
{
    FrontEnd *f = front_end(m);
    uint8_t byte = f->playback->bytes[f->sending++];
    (void)which;
    if (f->bit >= 0 && f->bit < 8) byte ^= (uint8_t)(0x80 >> f->bit);
    f->bit -= f->bit >= 0 ? 8 : 0;
    if (f->bit < 0) f->bit = -1;
    uart_receive(m, f->playback->uart, byte, m->now);
    if (f->sending < f->sending_end) due_at(m, DUE_BYTE, m->now + uart_byte_cycles(m, f->playback->uart));
}

static void deliver(Machine *m, FrontEnd *f)
{
    f->has_frame = f->fresh = true;
    f->bit = wrong(f, f->frame, WRONG_BIT, -1);
    record(m, f);
    if (f->kind == PLAIN_UART) transmit(m, f);
    else ready_edge(m);
    const int64_t again = wrong(f, f->frame, WRONG_DOUBLED, 0);
    if (again > 0) due_at(m, DUE_EDGE, m->now + (Cycle)again);
}

void edge_due(Machine *m, int which)
{
    (void)which;
    if (front_end(m)->kind == PLAIN_UART) transmit(m, front_end(m));
    else ready_edge(m);
}

void ready_due(Machine *m, int which)
{
    FrontEnd *f = front_end(m);
    const Playback *p = f->playback;
    const uint64_t frame = frame_at(f, f->base + conversions_cycles(f, f->conversions++));
    (void)which;
    const int64_t stall = wrong(f, frame, WRONG_STALL, 0), hold = wrong(f, frame, WRONG_HOLD, 0);
    if (stall > 0) m->devices->peripherals.uart[p->uart].stalled_until = m->now + (Cycle)stall;
    if (hold > 0) hold_cluster(m, (Cycle)hold);
    power_disturb(m, wrong(f, frame, WRONG_RISE, 0), wrong(f, frame, WRONG_WAKE, 0));
    clock_disturb(m, wrong(f, frame, WRONG_CLOCK, 0));
    if (wrong(f, frame, WRONG_RESET, -1) >= 0 && is_chip(f)) {
        front_end_reset(f);
        conversions_changed(m, m->now, true);
        return;
    }
    f->frame = (uint32_t)frame;
    if (wrong(f, frame, WRONG_MISSED, -1) < 0) deliver(m, f);
    plan(m);
}

void end_due(Machine *m, int which)
{
    (void)which;
    leave(m, 0);
}

void playback_start(Machine *m, const Playback *playback)
{
    FrontEnd *f = front_end(m);
    f->playback = playback;
    f->kind = playback->kind;
    f->origin = NEVER;
    f->bit = -1;
    front_end_reset(f);
    ready_pin(m, true, 0);
    due_at(m, DUE_END,
           playback->start + frames_cycles(playback, playback->frames) + playback->tail + playback->clock_hz);
    if (is_chip(f)) return;
    begin(m, playback->start);
    plan(m);
}
