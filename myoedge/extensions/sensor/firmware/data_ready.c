/* SPDX-License-Identifier: Apache-2.0
 * Samples that a front end announces by an edge of its data-ready pin, and an SPI reads by DMA.
 */
#include "sensor.h"
#include "sensor_network.h"
#include "sensor_port.h"
#include "source.h"

#define MOST_LATE ((int32_t)(ME_PERIOD_16TH_US / 8u)) /* tolerance in 1/16 us for a regular data-ready */
/* An early edge can only be caused by late interrupts before it and by the difference of the clocks. */
#define CLOCKS_DIFFER (ME_PERIOD_16TH_US / 1024u)
#define LATE_INTERRUPT (16u * ME_INTERRUPT_US)
#define MOST_EARLY ((int32_t)(CLOCKS_DIFFER > LATE_INTERRUPT ? CLOCKS_DIFFER : LATE_INTERRUPT))
#define FORGOTTEN 32 /* share of a delay that is forgiven per data-ready, because clocks differ; maximum: */
#define MOST_FORGOTTEN (MOST_EARLY / 2)
#define MOST_IRREGULAR \
    4u   /* irregular edges in a row after which the times of data-ready are taken to have moved */

static volatile bool transferring, is_torn;  /* is_torn: a data-ready came during the transfer */
static volatile bool is_first,
    was_first;    /* the next sample is the first after a start; the last sample was */
static volatile uint32_t number = ME_NO_SAMPLE; /* number of the last regular data-ready */
static volatile uint32_t ready_us;           /* time of the last regular data-ready */
static volatile int32_t late;                /* delay of the last regular data-ready in 1/16 us */
static volatile uint32_t irregular;          /* edges since then */
static uint8_t raw[ME_SAMPLE_BYTES] ME_SENSOR_DMA;

/* Whether a data-ready is within the tolerance around a whole number of periods after the last regular
 * one. An edge that is too early may be a glitch, for which the front end would send its last sample
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

/* A gap of 0 periods: the same sample again, if the last edge was a data-ready; that is unknown for the
 * first edge after a start. A second edge during a transfer may be the real one. */
static void see_another_edge(void)
{
    me_acquisition_overrun();
    is_torn = true;
    if (was_first && !transferring && me_samples_withdraw(number))
        me_acquisition_lose(1);
}

/* Ignores an edge between two expected times of data-ready, because periods are counted from the last
 * regular edge. If the times themselves have moved, several edges in a row are irregular: the next one
 * restarts the count, as after a start. */
static void see_irregular_edge(void)
{
    me_acquisition_doubt();
    is_first = ++irregular >= MOST_IRREGULAR;
}

/* Records a data-ready, `periods` periods after the last regular one. */
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
    me_acquisition_hear();
    me_port_spi_start(raw, ME_SAMPLE_BYTES);
}

/* A gap of more than 1 period, or of a non-integer number of periods: samples are lost, or this edge is a
 * glitch. Expected only before the first sample after a start. */
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
