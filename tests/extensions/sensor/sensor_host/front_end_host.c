/* SPDX-License-Identifier: Apache-2.0
 * A front end that plays a recording: registers as after power-up, commands of the data sheet,
 * data-ready, what can go wrong with them. A device on the line sends messages instead.
 */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "packet.h"
#include "sensor_port.h"
#ifdef ME_LINE_RECEIVES
#include "receive.h"
#endif

static uint64_t started, edge = NEVER, second_edge = NEVER, transfer_end = NEVER; /* ns */
static uint32_t tick, shown; /* next data-ready, and the one whose sample is read */

static uint8_t registers[0x18];
static bool converts, halted, is_dead, was_reset;
#ifdef ME_SPI
static bool sends_samples;
static uint8_t *transfer_to;
#endif
static uint32_t settling, slower; /* data-ready pulses without a sample; of which one in so many comes */

void reset_registers(void)
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

#ifdef ME_SPI
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

void me_port_spi_start(uint8_t *rx, uint32_t bytes)
{
    if (transfer_end != NEVER || bytes != ME_SAMPLE_BYTES)
        abort();
    transfer_to = rx;
    for (shown = tick; shown > 0 && time_of(shown) > now;) /* the last one that was converted */
        shown--;
    transfer_end = now + bytes * 8000000000ull / ME_SPI_HZ;
}

/* The chip's SPI goes on with a transfer, and its bytes have no place then. */
void me_port_spi_stop(void)
{
    if (transfer_end != NEVER)
        abort();
    pending_sample = false;
}

#endif

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
    (void)opened; /* of a device without a status */
}

static void flip(uint32_t frame, uint8_t *bytes)
{
    const fault *flipped = fault_at(frame, "spi");
    if (flipped)
        bytes[flipped->value / 8] ^= (uint8_t)(1 << flipped->value % 8);
}

#ifdef ME_LINE_RECEIVES
static uint8_t heard[ME_MESSAGE_BYTES + 2];
static uint32_t heard_bytes, taken_bytes;

static void send_message(void)
{
    uint8_t bytes[ME_MESSAGE_BYTES];
    put_sample(shown, bytes);
    bytes[0] = ME_SAMPLE_MESSAGE;
    bytes[1] = 1;
    bytes[2] = (uint8_t)shown;
    bytes[3] = (uint8_t)(shown >> 8);
    const uint32_t crc = me_crc16(bytes, ME_SAMPLE_BYTES);
    bytes[ME_SAMPLE_BYTES] = (uint8_t)crc;
    bytes[ME_SAMPLE_BYTES + 1] = (uint8_t)(crc >> 8);
    heard_bytes = me_cobs(bytes, sizeof bytes, heard);
    flip(shown, heard);
    taken_bytes = 0;
    pending_received = true;
}

uint32_t me_port_uart_receive(uint8_t *bytes, uint32_t most)
{
    uint32_t count = 0;
    while (taken_bytes < heard_bytes && count < most)
        bytes[count++] = heard[taken_bytes++];
    return count;
}

static void announce(void)
{
    shown = tick - 1;
    send_message();
}
static void end_transfer(void) {}
#else
static void announce(void) { pending_edge = true; }

static void end_transfer(void)
{
    put_sample(shown, transfer_to);
    flip(shown, transfer_to);
    pending_sample = true;
}
#endif

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
        announce();
    plan_edge();
}

uint32_t next_frame(void) { return tick; }

bool is_converting(void) { return converts; }

uint64_t front_end_due(void)
{
    if (converts && edge == NEVER)
        plan_edge();
    const uint64_t first = edge < second_edge ? edge : second_edge;
    return first < transfer_end ? first : transfer_end;
}

void front_end_act(void)
{
    if (now == edge)
        ready();
    if (now == second_edge) {
        second_edge = NEVER;
        announce();
    }
    if (now == transfer_end) {
        transfer_end = NEVER;
        end_transfer();
    }
}
