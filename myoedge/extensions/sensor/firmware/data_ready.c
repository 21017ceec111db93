/* SPDX-License-Identifier: Apache-2.0
 * Samples that a front end announces by an edge of its data-ready pin, and an SPI reads by DMA.
 */
#include "sensor.h"
#include "sensor_network.h"
#include "sensor_port.h"
#include "source.h"

#define MOST_LATE ((int32_t)(ME_PERIOD_16TH_US / 8u)) /* 1/16 us; a regular data-ready */
/* Only late interrupts and the clocks' difference make one early. */
#define MOST_EARLY ((int32_t)(ME_PERIOD_16TH_US / 1024u > 8u * 16u ? ME_PERIOD_16TH_US / 1024u : 8u * 16u))
#define FORGOTTEN 32 /* part of a delay, per data-ready, as clocks differ; so much at most: */
#define MOST_FORGOTTEN (MOST_EARLY / 2)
#define MOST_IRREGULAR 4u   /* edges in a row before the times of data-ready have moved */

static volatile bool transferring, is_torn;  /* is_torn: data-ready came meanwhile */
static volatile bool is_first, was_first;    /* of the samples after a start; the last one was */
static volatile uint32_t number = ME_NO_SAMPLE; /* of the last regular data-ready */
static volatile uint32_t ready_us;           /* when it was */
static volatile int32_t late;                /* how late it was, in 1/16 us */
static volatile uint32_t irregular;          /* edges since then */
static uint8_t raw[ME_SAMPLE_BYTES] ME_SENSOR_DMA;

/* Whether a data-ready is within the limits, so much later than a whole number of periods after the
 * last regular one. An edge that is early may be none: the front end would send its last sample
 * again. */
static bool is_in_time(int32_t longer)
{
    const int32_t now_late = late + longer;
    if (now_late < -MOST_EARLY || now_late > MOST_LATE)
        return false;
    const int32_t part = now_late / FORGOTTEN;
    late = now_late > 0 ? now_late - (part < MOST_FORGOTTEN ? part : MOST_FORGOTTEN) : 0;
    return true;
}

/* A gap of 0 periods: the same sample again, if the last edge was one of data-ready, which is unknown
 * of the first after a start. A second edge during a transfer may be the true one. */
static void see_another_edge(void)
{
    me_acquisition_overrun();
    is_torn = true;
    if (was_first && !transferring && me_samples_withdraw(number))
        me_acquisition_lose(1);
}

/* An edge between two times of data-ready counts for nothing, as periods are those since the last
 * regular edge. If the times themselves have moved, several edges in a row are irregular: the next
 * one begins again, as after a start. */
static void see_irregular_edge(void)
{
    me_acquisition_doubt();
    is_first = ++irregular >= MOST_IRREGULAR;
}

/* `periods` after the last regular data-ready. */
static void read_sample(uint32_t now, uint32_t periods)
{
    number += periods;
    ready_us = now;
    irregular = 0;
    me_acquisition_lose(periods - 1);
    was_first = is_first;
    is_first = false;
    if (me_acquisition_now() == ME_DOUBTED) {
        me_acquisition_lose(1);
        return;
    }
    transferring = true;
    is_torn = false;
    me_port_spi_start(raw, ME_SAMPLE_BYTES);
}

/* A gap of more than 1 period, or of no whole number: samples are lost, or this edge is none of
 * data-ready; that is expected only before the first sample after a start. */
void me_sensor_ready(void)
{
    const uint32_t now = me_port_us();
    int32_t longer = 0;
    uint32_t periods = 1;
    if (me_acquisition_now() == ME_STOPPED)
        return;
    if (number != ME_NO_SAMPLE)
        periods = me_periods_in(now - ready_us, &longer);
    if (periods == 0 || transferring) {
        see_another_edge();
        return;
    }
    if (is_first) {
        late = 0;
    } else if (!is_in_time(longer)) {
        see_irregular_edge();
        return;
    } else if (periods > 1) {
        me_acquisition_doubt();
    }
    read_sample(now, periods);
}

void me_sensor_sample(void)
{
    if (!transferring)
        return;
    transferring = false;
    if (is_torn)
        me_acquisition_doubt();
    me_acquisition_take(number, ready_us, raw);
}

void me_source_begin(bool anew) { is_first = is_first || anew; }

bool me_source_stop(void)
{
    const bool was_transferring = transferring;
    if (transferring)
        me_port_spi_stop();
    transferring = false;
    return was_transferring;
}

uint32_t me_source_ready_us(void) { return ready_us; }
