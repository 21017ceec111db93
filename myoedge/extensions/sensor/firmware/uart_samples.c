/* SPDX-License-Identifier: Apache-2.0
 * Samples that a device sends on the line by itself, each as a message of receive.h:
 *   u8 kind (ME_SAMPLE_MESSAGE), u8 version, u16 number (little endian, wraps), counts
 * A sample's time is that of its last byte.
 */
#include "receive.h"
#include "sensor.h"
#include "sensor_network.h"
#include "sensor_port.h"
#include "source.h"

#define MOST_OFF \
    8u /* maximum samples between a message's number and its time, in addition to 1/16 of the gap */

static volatile uint32_t number = ME_NO_SAMPLE, ready_us;
static uint32_t told; /* number of the last message */

/* -> the number of samples from the last message to this one; 0: a repeated message. If the numbers do not
 * match the time, the device has restarted: that is a gap, because no window may contain samples from
 * before and after it. */
static uint32_t steps_to(uint32_t tells, uint32_t now)
{
    int32_t longer;
    const uint32_t steps = (tells - told) & 0xFFFFu;
    if (number == ME_NO_SAMPLE)
        return 1;
    const uint32_t periods = me_periods_in(now - ready_us, &longer);
    const uint32_t most_off = MOST_OFF + periods / 16u;
    if (steps <= periods + most_off && periods <= steps + most_off)
        return steps;
    me_acquisition_restarted();
    return periods > 2 ? periods : 2;
}

void me_received(const uint8_t *message, uint32_t bytes)
{
    const uint32_t now = me_port_us();
    if (me_acquisition_now() == ME_STOPPED)
        return;
    if (bytes != ME_SAMPLE_BYTES || message[0] != ME_SAMPLE_MESSAGE) {
        me_received_broken();
        return;
    }
    const uint32_t tells = message[2] | (uint32_t)message[3] << 8;
    const uint32_t steps = steps_to(tells, now);
    if (steps == 0) {
        me_acquisition_overrun();
        return;
    }
    number += steps;
    told = tells;
    ready_us = now;
    me_acquisition_lose(steps - 1);
    me_acquisition_take(number, now, message);
}

/* The missing sample shows as a gap in the numbers of the next message. */
void me_received_broken(void) { me_acquisition_error(); }

void me_source_begin(bool anew) { (void)anew; }

bool me_source_stop(void) { return false; }

uint32_t me_source_ready_us(void) { return ready_us; }
