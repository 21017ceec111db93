/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor.h"

#include "acquisition.h"
#include "decision.h"
#include "packet.h"
#include "samples.h"
#include "sensor_network.h"
#include "sensor_port.h"
#include "transmit.h"

#ifdef ME_ADAPTS
#include "labels.h"
#endif
#ifdef ME_WAKES
#include "wake.h"
#endif

#define STATUS_APART_US 50000u /* time between two status packets */
#define LONGEST_SLEEP_US 100000u

static uint32_t next;    /* number of the first sample of the next window or frame */
static uint32_t pushed;  /* frames since the stream was reset */
static uint32_t flags;   /* flags of the next decision */
static uint32_t skipped; /* number of passes */
static me_sample_facts ends[ME_FRAMES]; /* number of the last sample, and flags, of each frame of a pass */

void me_sensor_wait(uint32_t us)
{
    const uint32_t start = me_port_us();
    for (uint32_t passed; (passed = me_port_us() - start) < us;) {
        me_port_interrupts(false);
        me_port_sleep(us - passed, us - passed);
        me_port_interrupts(true);
    }
}

bool me_sensor_reset_front_end(uint32_t us)
{
    if (!me_port_has_pin(ME_PIN_RESET))
        return false;
    me_port_pin(ME_PIN_RESET, false);
    me_sensor_wait(us);
    me_port_pin(ME_PIN_RESET, true);
    me_sensor_wait(us);
    return true;
}

/* ---- packets */

static void send_start(void)
{
    static const uint8_t digest[8] = ME_MODEL_DIGEST;
    const uint32_t restarts = me_port_watchdog_restarts();
    me_packet packet;
    me_packet_begin(&packet, ME_START, 0, me_port_us());
    for (uint32_t i = 0; i < sizeof digest; i++)
        me_packet_u8(&packet, digest[i]);
    me_packet_u16(&packet, ME_CHANNELS);
    me_packet_u32(&packet, ME_RATE_MHZ);
    me_packet_u16(&packet, ME_RESULTS);
    me_packet_u8(&packet, restarts > 0);
    flags = restarts > 0 ? ME_FLAG_WATCHDOG : 0;
    packet.flags = flags;
    me_transmit(&packet);
}

static void send_status(const me_acquired *found)
{
    me_packet packet;
    me_packet_begin(&packet, ME_STATUS, me_samples_end() - 1, me_port_us());
    me_packet_u32(&packet, found->lost);
    me_packet_u32(&packet, found->saturated);
    me_packet_u32(&packet, found->spi_errors);
    me_packet_u32(&packet, found->resets);
    me_packet_u32(&packet, skipped);
    me_packet_u32(&packet, found->overruns);
    me_packet_u32(&packet, me_port_watchdog_restarts());
    me_packet_u32(&packet, (uint32_t)found->open);
    me_packet_u32(&packet, (uint32_t)(found->open >> 32));
    me_transmit(&packet);
}

/* A second of signal has been decided on, so that no decision waits behind the status on the line; or two have
 * come. With a hop longer than a window, `last` may be ahead of what has come. */
static bool is_status_due(uint32_t last)
{
    const int32_t most = (int32_t)(2 * ME_SECOND_SAMPLES + ME_WINDOW);
    return next - last >= ME_SECOND_SAMPLES || (int32_t)(me_samples_end() - last) >= most;
}

/* Sends a status once per second of signal, and soon after a fault. A saturated sample is not a reason,
 * because each decision's flags report it. */
static void report_status(void)
{
    static uint32_t last, last_us, last_faults;
    static uint64_t last_open;
    const me_acquired found = me_acquisition_counts();
    const uint32_t faults = found.lost + found.spi_errors + found.resets + found.overruns + skipped;
    const bool is_changed = faults != last_faults || found.open != last_open;
    const bool is_apart = me_port_us() - last_us >= STATUS_APART_US;
    if (!is_status_due(last) && !(is_changed && is_apart))
        return;
    last = next;
    last_us = me_port_us();
    last_faults = faults;
    last_open = found.open;
    send_status(&found);
}

static void send_with_flags(me_packet *packet, const me_sample_facts *facts)
{
    flags |= me_acquisition_flags();
    flags |= facts->flags & ME_SAMPLE_OPEN ? ME_FLAG_OPEN : 0;
    flags |= facts->flags & ME_SAMPLE_SATURATED ? ME_FLAG_SATURATED : 0;
    packet->flags = flags;
    me_transmit(packet);
    flags = 0;
}

static void send_decision(const me_result *values, const me_sample_facts *facts)
{
    me_packet packet;
    me_packet_begin(&packet, ME_DECISION_KIND, facts->number, facts->time_us);
    me_sensor_values(&packet, values);
    send_with_flags(&packet, facts);
}

#ifdef ME_WAKES
static void send_rest(const me_sample_facts *facts)
{
    me_packet packet;
    me_packet_begin(&packet, ME_DECISION, facts->number, facts->time_us);
    me_packet_u16(&packet, ME_WAKE_REST);
    me_packet_u16(&packet, 0);
    flags |= ME_FLAG_RESTING;
    send_with_flags(&packet, facts);
}
#endif

/* ---- passes */

static void start_stream(void)
{
    me_sensor_reset();
    pushed = 0;
#ifdef ME_WAKES
    me_wake_restart();
#endif
}

/* The ring is full: skips the oldest unread passes, and if samples among them are lost, everything up to
 * the last lost one. */
static void skip_overwritten(void)
{
    while (me_samples_end() - next > ME_RING_SAMPLES) {
        if ((int32_t)(me_samples_gap_end() - next) > 0) {
            next = me_samples_gap_end();
            flags |= ME_FLAG_LOST;
        } else {
            const uint32_t too_many = me_samples_end() - next - ME_RING_SAMPLES;
            const uint32_t passes = (too_many + ME_PASS_SAMPLES - 1) / ME_PASS_SAMPLES;
            next += passes * ME_PASS_SAMPLES;
            skipped += passes;
            flags |= ME_FLAG_SKIPPED;
        }
        start_stream();
    }
}

static bool is_frame_there(void) { return (int32_t)(me_samples_end() - next - ME_WINDOW) >= 0; }

static void skip_pass(void)
{
    skipped++;
    flags |= ME_FLAG_SKIPPED;
    start_stream();
}

/* The last of `ready` output frames belongs to the frame that was pushed last, each earlier one to an
 * earlier frame. */
static void send_decisions(int ready)
{
    for (uint32_t left = (uint32_t)ready; left-- > 0;) {
        const uint32_t frame = (pushed - 1 - ME_FRAMES_OF(left)) % ME_FRAMES;
        send_decision(me_sensor_results + ((uint32_t)ready - 1 - left) * ME_RESULTS, &ends[frame]);
    }
}

#ifdef ME_WAKES
/* -> whether the network rests on a window; if so, a packet says it. Streams have no gate: ends[0] is its frame.
 * above   whether the window reaches the gate's limit */
static bool rests(bool above)
{
    me_wake_take(above);
    if (me_wake_rests())
        send_rest(&ends[0]);
    return me_wake_rests();
}
#endif

static void take_frame(void)
{
    skip_overwritten();
    if (!is_frame_there())
        return;
    const uint32_t missing = me_samples_copy(next, me_sensor_input, &ends[pushed % ME_FRAMES]);
    if (missing > 0) {
        if (me_samples_end() - next <= ME_RING_SAMPLES) { /* else: overwritten during the copy */
            next += missing;
            flags |= ME_FLAG_LOST;
            start_stream();
        }
        return;
    }
    next += ME_HOP;
    pushed++;
#ifdef ME_WAKES_BY_ENERGY
    if (rests(me_wake_is_above(me_sensor_input)))
        return;
#endif
    const int ready = me_sensor_infer();
    if (ready < 0) {
        skip_pass();
        return;
    }
#ifdef ME_WAKES_BY_OUTPUT
    if (rests(me_wake_was_above()))
        return;
#endif
#ifdef ME_ADAPTS
    if (ready > 0)
        me_labels_window(next - ME_PASS_SAMPLES);
#endif
    send_decisions(ready);
}

/* ---- main loop */

/* While the energy lets the network rest, the time of its next pass is not known: the cluster is not switched on
 * for it. */
static uint32_t until_pass_us(void)
{
#ifdef ME_WAKES_BY_ENERGY
    if (me_wake_rests())
        return UINT32_MAX;
#endif
    const uint32_t due = next + ME_WINDOW + (ME_FRAMES - 1 - pushed % ME_FRAMES) * ME_HOP;
    return (due - me_samples_end() - 1) * ME_PERIOD_US + me_acquisition_until_ready_us();
}

static void sleep(void)
{
    me_port_interrupts(false);
    if (!is_frame_there() && !me_acquisition_is_in_doubt())
        me_port_sleep(LONGEST_SLEEP_US < ME_PERIOD_US * 8 ? LONGEST_SLEEP_US : ME_PERIOD_US * 8,
                      until_pass_us());
    me_port_interrupts(true);
}

bool me_sensor_open(void)
{
    if (!me_port_open())
        return false;
    me_port_watchdog_feed();
    me_port_interrupts(true);
#ifdef ME_WAKES_BY_OUTPUT
    me_wake_open();
#endif
    send_start();
    start_stream();
    me_acquisition_start();
    return true;
}

void me_sensor_turn(void)
{
    me_port_watchdog_feed();
    me_acquisition_look();
    me_transmit_look();
#ifdef ME_ADAPTS
    me_labels_serve();
#endif
    if (is_frame_there()) {
        me_port_pass(true);
        take_frame();
        me_port_pass(false);
    }
    report_status();
    sleep();
}

void me_sensor_run(void)
{
    if (!me_sensor_open())
        return;
    for (;;)
        me_sensor_turn();
}
