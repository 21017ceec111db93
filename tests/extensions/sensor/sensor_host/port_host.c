/* SPDX-License-Identifier: Apache-2.0
 * The sensor application's port on this machine: simulated time, a line that is recorded, faults. Its
 * front end is in front_end_host.c, its network in network_host.c.
 *   port_host SAMPLES FAULTS OUT
 *     SAMPLES  int32 counts [frames, channels]
 *     FAULTS   lines "frame kind value"; frame counts data-ready from 0
 *     OUT      records of the line: u64 ns of the stop bit, u8 byte
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "sensor.h"
#include "sensor_port.h"

#define LONGEST_START_NS (3000ull * 1000 * US)
#define AFTER 64 /* data-ready with the last sample again */
#define WATCHDOG_NS (1000ull * 1000 * US)

int32_t *recording;
uint32_t frames;
uint64_t now, stalled_until;
bool pending_edge, pending_sample, pending_sent, pending_received;
uint32_t next_pass_us = 300;

bool passes;

static uint32_t fault_count;
static fault faults[4096];
static FILE *out;
static uint64_t fed, line_end = NEVER; /* ns */
static uint32_t sent_packets;
static bool interrupts;

const fault *fault_at(uint32_t frame, const char *kind)
{
    for (uint32_t i = 0; i < fault_count; i++)
        if (faults[i].frame == frame && !strcmp(faults[i].kind, kind))
            return &faults[i];
    return 0;
}

/* ---- time */

static bool is_pending(void) { return pending_edge || pending_sample || pending_sent || pending_received; }

static void serve_one(void)
{
    if (pending_sent) {
        pending_sent = false;
        me_sensor_sent();
    }
#ifdef ME_SPI
    else if (pending_sample) {
        pending_sample = false;
        me_sensor_sample();
    } else {
        pending_edge = false;
        me_sensor_ready();
    }
#else
    else {
        pending_received = false;
        me_sensor_received();
    }
#endif
}

static void serve(void)
{
    while (interrupts && is_pending())
        serve_one();
}

void advance(uint64_t until, bool until_interrupt)
{
    serve();
    while (now < until) {
        const uint64_t sent = line_end == NEVER || line_end > stalled_until ? line_end : stalled_until;
        const uint64_t next = front_end_due() < sent ? front_end_due() : sent;
        now = next < until ? next : until;
        front_end_act();
        if (now == sent) {
            line_end = NEVER;
            pending_sent = !getenv("LOSES_SENT") || ++sent_packets % 3;
        }
        const bool woken = is_pending();
        serve();
        if (until_interrupt && woken)
            return;
    }
}

uint32_t me_port_us(void) { return (uint32_t)(now / US); }

void me_port_interrupts(bool on)
{
    interrupts = on;
    serve();
}

void me_port_sleep(uint32_t us, uint32_t until_pass_us)
{
    (void)until_pass_us;
    if (passes)
        abort();
    if (interrupts || is_pending())
        return;
    advance(now + us * US, true);
}

bool me_port_open(void)
{
    reset_registers();
    return true;
}

void me_port_watchdog_feed(void)
{
    if (now - fed > WATCHDOG_NS) {
        fprintf(stderr, "watchdog\n");
        abort();
    }
    fed = now;
    advance(now + 2 * US, false); /* a turn of the loop takes time */
}

uint32_t me_port_watchdog_restarts(void) { return getenv("RESTARTS") ? 1 : 0; }

void me_port_pass(bool begins)
{
    if (begins == passes)
        abort();
    passes = begins;
}

/* ---- line */

bool me_port_uart_sends(void) { return line_end != NEVER; }

void me_port_uart_start(const uint8_t *bytes, uint32_t count)
{
    uint64_t at = now > stalled_until ? now : stalled_until;
    if (line_end != NEVER)
        abort();
    for (uint32_t i = 0; i < count; i++) {
        at += 10000000000ull / ME_SENSOR_BAUD_RATE;
        fwrite(&at, sizeof at, 1, out);
        fwrite(bytes + i, 1, 1, out);
    }
    line_end = at;
}

/* ---- */

static void read_arguments(char **argv)
{
    FILE *file = fopen(argv[1], "rb");
    fseek(file, 0, SEEK_END);
    const long bytes = ftell(file);
    rewind(file);
    recording = malloc((size_t)bytes);
    frames = (uint32_t)(fread(recording, RECORDING_CHANNELS * 4, (size_t)bytes, file));
    fclose(file);
    file = fopen(argv[2], "r");
    long long value;
    while (fscanf(file, "%u %15s %lld", &faults[fault_count].frame, faults[fault_count].kind, &value) == 3)
        faults[fault_count++].value = value;
    fclose(file);
    out = fopen(argv[3], "wb");
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    read_arguments(argv);
    if (!me_sensor_open())
        return 3;
    while (is_converting() ? next_frame() < frames + AFTER : now < LONGEST_START_NS)
        me_sensor_turn();
    fclose(out);
    free(recording);
    printf("%u frames\n", next_frame());
    return 0;
}
