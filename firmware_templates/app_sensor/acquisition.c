/* SPDX-License-Identifier: Apache-2.0 */
#include "acquisition.h"

#include "front_end.h"
#include "packet.h"
#include "samples.h"
#include "sensor.h"
#include "sensor_network.h"
#include "sensor_port.h"

#define SILENCE_US (ME_PERIOD_US * 8 > 20000u ? ME_PERIOD_US * 8 : 20000u)
#define RETRY_US 100000u /* between two attempts to start the front end */
#define LONGEST_GAP_US (1u << 27)
#define MOST_LATE ((int32_t)(ME_PERIOD_16TH_US / 8u)) /* 1/16 us; a regular data-ready */
#define MOST_EARLY (8 * 16) /* only late interrupts and the clocks' difference make one early */
#define FORGOTTEN 32        /* part of a delay, per period: clocks differ */
#define MOST_IRREGULAR 4u   /* edges in a row before the times of data-ready have moved */

/* DOUBTED: something was irregular; samples are dropped until the main loop has looked. */
static volatile enum { STOPPED, RUNNING, DOUBTED } state;
static volatile bool transferring, is_torn;    /* is_torn: data-ready came meanwhile */
static volatile bool is_first, was_first;    /* of the samples after a start; the last one was */
static volatile int32_t late;                /* of the last regular data-ready, in 1/16 us */
static volatile uint32_t number;             /* of that data-ready */
static volatile uint32_t irregular;          /* edges since then */
static volatile uint32_t ready_us, heard_us; /* when it was, and when a sample or start ended */
static volatile uint32_t flags;
static me_acquired counts;
static uint8_t raw[ME_SAMPLE_BYTES] ME_SENSOR_DMA;

/* Periods in a time, to the nearest, and how much longer it is in 1/16 us. A period is
 * ME_PERIOD_16TH_US / 16 us. */
static uint32_t periods_in(uint32_t us, int32_t *longer)
{
    const uint32_t gap = (us < LONGEST_GAP_US ? us : LONGEST_GAP_US) * 16u;
    const uint32_t periods = (gap + ME_PERIOD_16TH_US / 2u) / ME_PERIOD_16TH_US;
    *longer = (int32_t)(gap - periods * ME_PERIOD_16TH_US);
    return periods;
}

/* Whether a data-ready is within the limits, so much later than a whole number of periods after the
 * last regular one. An edge that is early may be none: the front end would send its last sample
 * again. */
static bool is_in_time(int32_t longer)
{
    const int32_t now_late = late + longer;
    const bool in_time = now_late >= -MOST_EARLY && now_late <= MOST_LATE;
    if (in_time)
        late = now_late > 0 ? now_late - now_late / FORGOTTEN : 0;
    return in_time;
}

static void doubt(void)
{
    if (state == RUNNING)
        state = DOUBTED;
}

static void lose(uint32_t samples) { counts.lost += samples; }

/* A gap of 0 periods: the same sample again, if the last edge was one of data-ready, which is unknown
 * of the first after a start. A second edge during a transfer may be the true one. */
static void see_another_edge(void)
{
    counts.overruns++;
    is_torn = true;
    if (was_first && !transferring && me_samples_withdraw(number))
        lose(1);
}

/* An edge between two times of data-ready counts for nothing, as periods are those since the last
 * regular edge. If the times themselves have moved, several edges in a row are irregular: the next
 * one begins anew, as after a start. */
static void see_irregular_edge(void)
{
    doubt();
    is_first = ++irregular >= MOST_IRREGULAR;
}

/* A gap of more than 1 period, or of no whole number: samples are lost, or this edge is none of
 * data-ready; that is expected only before the first sample after a start. */
void me_sensor_ready(void)
{
    const uint32_t now = me_port_us();
    int32_t longer = 0;
    uint32_t periods = 1;
    if (state == STOPPED)
        return;
    if (number != ME_NO_SAMPLE)
        periods = periods_in(now - ready_us, &longer);
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
        doubt();
    }
    number += periods;
    ready_us = now;
    irregular = 0;
    lose(periods - 1);
    was_first = is_first;
    is_first = false;
    if (state == DOUBTED) {
        lose(1);
        return;
    }
    transferring = true;
    is_torn = false;
    me_port_spi_start(raw, ME_SAMPLE_BYTES);
}

static bool is_saturated(const int32_t *sample)
{
    for (uint32_t channel = 0; channel < ME_CHANNELS; channel++)
        if (sample[channel] <= ME_COUNT_LOW || sample[channel] >= ME_COUNT_HIGH)
            return true;
    return false;
}

void me_sensor_sample(void)
{
    int32_t sample[ME_CHANNELS];
    uint64_t open;
    if (!transferring)
        return;
    transferring = false;
    heard_us = me_port_us();
    if (is_torn)
        doubt();
    if (state != RUNNING || !me_front_end_decode(raw, sample, &open)) {
        lose(1);
        counts.spi_errors += state == RUNNING;
        flags |= state == RUNNING ? ME_FLAG_SPI : 0;
        doubt();
        return;
    }
    me_sample_facts facts = { number, ready_us, open ? ME_SAMPLE_OPEN : 0 };
    counts.open = open;
    if (is_saturated(sample)) {
        counts.saturated++;
        facts.flags |= ME_SAMPLE_SATURATED;
    }
    me_samples_put(&facts, sample);
}

static void stop(void)
{
    me_port_interrupts(false);
    state = STOPPED;
    if (transferring) {
        me_port_spi_stop();
        transferring = false;
        lose(1);
    }
    me_port_interrupts(true);
}

static void resume(bool started)
{
    me_port_interrupts(false);
    heard_us = me_port_us();
    is_first = started;
    state = RUNNING;
    me_port_interrupts(true);
}

/* A front end that does not answer is tried again later; data-ready is ignored until then. */
static void start(void)
{
    stop();
    if (me_front_end_start())
        resume(true);
    else
        heard_us = me_port_us() + RETRY_US - SILENCE_US;
}

void me_acquisition_start(void)
{
    number = ME_NO_SAMPLE;
    me_samples_clear();
    start();
}

static bool is_silent(void) { return (int32_t)(me_port_us() - heard_us) >= (int32_t)SILENCE_US; }

bool me_acquisition_is_in_doubt(void) { return state == DOUBTED || is_silent(); }

void me_acquisition_look(void)
{
    if (state == DOUBTED && me_front_end_is_intact()) {
        resume(false);
    } else if (me_acquisition_is_in_doubt()) {
        counts.resets++;
        flags |= ME_FLAG_RESET;
        start();
    }
}

uint32_t me_acquisition_flags(void)
{
    me_port_interrupts(false);
    const uint32_t found = flags;
    flags = 0;
    me_port_interrupts(true);
    return found;
}

me_acquired me_acquisition_counts(void)
{
    me_port_interrupts(false);
    const me_acquired found = counts;
    me_port_interrupts(true);
    return found;
}

uint32_t me_acquisition_until_ready_us(void)
{
    const uint32_t since_us = me_port_us() - ready_us;
    return since_us < ME_PERIOD_US ? ME_PERIOD_US - since_us : 0;
}
