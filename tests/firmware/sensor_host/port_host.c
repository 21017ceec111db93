/* SPDX-License-Identifier: Apache-2.0
 * The sensor application's port on this machine: simulated time, a front end that plays a recording,
 * a line that is recorded, faults.
 *   port_host SAMPLES FAULTS OUT
 *     SAMPLES  int32 counts [frames, channels]
 *     FAULTS   lines "frame kind value"; frame counts data-ready from 0
 *     OUT      records of the line: u64 ns of the stop bit, u8 byte
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decision.h"
#include "network.h"
#include "sensor.h"
#include "sensor_network.h"
#include "sensor_port.h"

#define US 1000ull
#define NEVER UINT64_MAX
#define LONGEST_START_NS (3000ull * 1000 * US)
#define AFTER 64 /* data-ready with the last sample again */
#define WATCHDOG_NS (1000ull * 1000 * US)
#define PASS_US 300

#ifdef ME_ADS_SETTINGS
enum { RECORDING_CHANNELS = ME_CHIPS * 8 };
#else
enum { RECORDING_CHANNELS = ME_CHANNELS };
#endif

typedef struct {
    uint32_t frame;
    char kind[16];
    int64_t value;
} fault;

static int32_t *recording;
static uint32_t frames, fault_count;
static fault faults[4096];
static FILE *out;

static uint64_t now, started, fed; /* ns */
static uint64_t edge = NEVER, second_edge = NEVER, transfer_end = NEVER, line_end = NEVER, stalled_until;
static uint32_t tick, shown;              /* next data-ready, and the one whose sample is read */
static bool interrupts, pending_edge, pending_sample, pending_sent;
static uint8_t *transfer_to;
static uint32_t next_pass_us = PASS_US;

static const fault *fault_at(uint32_t frame, const char *kind)
{
    for (uint32_t i = 0; i < fault_count; i++)
        if (faults[i].frame == frame && !strcmp(faults[i].kind, kind))
            return &faults[i];
    return 0;
}

/* ---- front end: registers as after power-up, commands of the data sheet */

static uint8_t registers[0x18];
static bool converts, halted, sends_samples, is_dead, was_reset;
static uint32_t settling, slower; /* data-ready pulses without a sample; of which one in so many comes */

static void reset_registers(void)
{
    memset(registers, 0, sizeof registers);
    settling = 4;
#ifdef ME_ADS_SETTINGS
    registers[0] = 0xE0 | ME_ADS_IDENTITY;
    registers[1] = 0x06;
    sends_samples = true;
    slower = 4;
#else
    slower = 1;
#endif
    is_dead = false;
    halted = ME_PIN_OF_START < 0;
}

static void start_conversions(void)
{
    halted = false;
    if (converts)
        return;
    converts = true;
    started = now;
    settling = 0;
}

static uint64_t time_of(uint32_t frame)
{
    return started + (uint64_t)(frame + 1) * 1000000000000ull / ME_RATE_MHZ;
}

static void plan_edge(void)
{
    while (time_of(tick) <= now)
        tick++;
    const fault *jitter = fault_at(tick, "jitter");
    edge = time_of(tick) + (jitter ? (uint64_t)jitter->value * US : 0);
}

void me_port_spi_exchange(const uint8_t *tx, uint8_t *rx, uint32_t bytes)
{
    const uint8_t code = tx[0];
    const uint8_t first = code & 0x1F;
    const bool is_ignored = sends_samples && code != 0x11 && code != 0x06;
    if (is_ignored && !was_reset && !is_dead) {
        fprintf(stderr, "command %02x while samples are sent\n", code);
        abort();
    }
    if (is_dead || is_ignored) {
        if (rx)
            memset(rx, 0xFF, bytes);
        return;
    }
    switch (code >> 5) {
    case 1:
        for (uint32_t i = 2; i < bytes; i++)
            rx[i] = registers[first + i - 2];
        break;
    case 2:
        for (uint32_t i = 2; i < bytes; i++)
            registers[first + i - 2] = tx[i];
        slower = 1;
        break;
    default:
        if (code == 0x06)
            reset_registers();
        sends_samples = code == 0x10 ? true : code == 0x11 ? false : sends_samples;
        if (code == 0x08)
            start_conversions();
    }
}

bool me_port_has_pin(me_pin pin) { return (pin == ME_PIN_START ? ME_PIN_OF_START : ME_PIN_OF_RESET) >= 0; }

void me_port_pin(me_pin pin, bool high)
{
    if (pin == ME_PIN_RESET && !high)
        reset_registers();
    if (pin == ME_PIN_START && high)
        start_conversions();
}

/* What the front end sends of the sample: status words and counts. */
static void put_sample(uint32_t frame, uint8_t *raw)
{
    const int32_t *counts = recording + (frame < frames ? frame : frames - 1) * (size_t)RECORDING_CHANNELS;
    const fault *opened = fault_at(frame, "open");
    uint8_t *at = raw;
    for (uint32_t channel = 0; channel < RECORDING_CHANNELS; channel++) {
#ifdef ME_ADS_SETTINGS
        if (channel % 8 == 0) {
            const uint32_t bits = opened ? (uint32_t)opened->value >> channel & 0xFF : 0;
            *at++ = (uint8_t)(0xC0 | bits >> 4);
            *at++ = (uint8_t)(bits << 4);
            *at++ = 0;
        }
        const int bytes = 3;
#else
        const int bytes = (ME_COUNT_BITS + 7) / 8;
        if (channel == 0)
            for (int i = 0; i < (int)ME_HEADER_BYTES; i++)
                *at++ = 0x5A;
#endif
        for (int byte = bytes - 1; byte >= 0; byte--)
            *at++ = (uint8_t)((uint32_t)counts[channel] >> 8 * byte);
    }
    const fault *flipped = fault_at(frame, "spi");
    if (flipped)
        raw[flipped->value / 8] ^= (uint8_t)(1 << flipped->value % 8);
    (void)opened; /* of a device without a status */
}

/* The data-ready of a frame comes: what happens with it. */
static void ready(void)
{
    const uint32_t frame = tick++;
    const fault *found;
    if (fault_at(frame, "reset")) {
        reset_registers();
        was_reset = true;
    }
    if (fault_at(frame, "dead"))
        is_dead = true;
    if ((found = fault_at(frame, "stall")))
        stalled_until = now + (uint64_t)found->value * US;
    if ((found = fault_at(frame, "slow")))
        next_pass_us = (uint32_t)found->value;
    if ((found = fault_at(frame, "doubled")))
        second_edge = now + (uint64_t)found->value * US;
    if (settling > 0)
        settling--;
    else if (!is_dead && !halted && frame % slower == 0 && !fault_at(frame, "missed"))
        pending_edge = true;
    plan_edge();
}

/* ---- time */

static void serve(void)
{
    while (interrupts && (pending_edge || pending_sample || pending_sent)) {
        if (pending_sample) {
            pending_sample = false;
            me_sensor_sample();
        } else if (pending_sent) {
            pending_sent = false;
            me_sensor_sent();
        } else {
            pending_edge = false;
            me_sensor_ready();
        }
    }
}

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

static void advance(uint64_t until, bool until_interrupt)
{
    serve();
    while (now < until) {
        if (converts && edge == NEVER)
            plan_edge();
        const uint64_t sent = line_end == NEVER || line_end > stalled_until ? line_end : stalled_until;
        const uint64_t next = earlier(earlier(edge, second_edge), earlier(transfer_end, sent));
        now = earlier(next, until);
        if (now == edge)
            ready();
        if (now == second_edge) {
            second_edge = NEVER;
            pending_edge = true;
        }
        if (now == transfer_end) {
            transfer_end = NEVER;
            put_sample(shown, transfer_to);
            pending_sample = true;
        }
        if (now == sent) {
            line_end = NEVER;
            pending_sent = true;
        }
        const bool woken = pending_edge || pending_sample || pending_sent;
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
    if (interrupts || pending_edge || pending_sample || pending_sent)
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

/* ---- SPI and line */

void me_port_spi_start(uint8_t *rx, uint32_t bytes)
{
    if (transfer_end != NEVER || bytes != ME_SAMPLE_BYTES)
        abort();
    transfer_to = rx;
    for (shown = tick; shown > 0 && time_of(shown) > now;) /* the last one that was converted */
        shown--;
    transfer_end = now + bytes * 8000000000ull / ME_SPI_HZ;
}

void me_port_spi_stop(void)
{
    transfer_end = NEVER;
    pending_sample = false;
}

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

/* ---- network: result r of a window is the sum of q * (place % 7 + r + 1), modulo 256; a stream's
 * adds what came before */

static uint32_t memory, gathered;
static int8_t pass_frames[ME_FRAMES * ME_CHANNELS * ME_WINDOW * sizeof(me_sample)];

static void run_pass(void)
{
    const uint64_t until = now + next_pass_us * US;
    next_pass_us = PASS_US;
    while (now < until)
        advance(until, false);
}

static uint32_t weighted(const me_sample *values, uint32_t result)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < ME_CHANNELS * ME_WINDOW; i++)
        sum += (uint32_t)values[i] * (i % 7 + result + 1);
    return sum;
}

int me_port_run(const void *const in[], void *const to[])
{
    me_result *results = to[0];
    run_pass();
    for (uint32_t frame = 0; frame < ME_FRAMES; frame++) {
        const me_sample *values = (const me_sample *)in[0] + frame * ME_CHANNELS * ME_WINDOW;
        for (uint32_t r = 0; r < ME_RESULTS; r++)
            results[frame * ME_RESULTS + r] = (me_result)(int8_t)(weighted(values, r) + memory);
        memory = ME_FRAMES > 1 ? 3 * memory + weighted(values, 0) : 0;
    }
    return 0;
}

int (*me_pass)(const void *const in[], void *const out[]);

void me_reset(void) { memory = gathered = 0; }

int me_push(const void *const frame[], void *const to[])
{
    const uint32_t bytes = ME_CHANNELS * ME_WINDOW * sizeof(me_sample);
    memcpy(pass_frames + gathered * bytes, frame[0], bytes);
    if (++gathered < ME_FRAMES)
        return 0;
    gathered = 0;
    const void *const in[] = { pass_frames };
    return me_pass(in, to) ? -1 : (int)ME_READY;
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
    while (converts ? tick < frames + AFTER : now < LONGEST_START_NS)
        me_sensor_turn();
    fclose(out);
    free(recording);
    printf("%u frames\n", tick);
    return 0;
}
