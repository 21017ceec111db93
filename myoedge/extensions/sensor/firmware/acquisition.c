/* SPDX-License-Identifier: Apache-2.0 */
#include "acquisition.h"

#include "front_end.h"
#include "packet.h"
#include "samples.h"
#include "sensor.h"
#include "sensor_network.h"
#include "sensor_port.h"
#include "source.h"

#define SILENCE_US (ME_PERIOD_US * 8 > 20000u ? ME_PERIOD_US * 8 : 20000u)
#define RETRY_US 100000u /* between two attempts to start the front end */
#define LONGEST_GAP_US (1u << 27)

static volatile me_acquisition_state state;
static volatile uint32_t heard_us; /* time of the last start, or begin or end of a transfer */
static volatile uint32_t flags;
static me_acquired counts;

/* ---- functions for the source */

/* A period is ME_PERIOD_16TH_US / 16 us. */
uint32_t me_periods_in(uint32_t us, int32_t *longer)
{
    const uint32_t gap = (us < LONGEST_GAP_US ? us : LONGEST_GAP_US) * 16u;
    const uint32_t periods = (gap + ME_PERIOD_16TH_US / 2u) / ME_PERIOD_16TH_US;
    *longer = (int32_t)(gap - periods * ME_PERIOD_16TH_US);
    return periods;
}

me_acquisition_state me_acquisition_now(void) { return state; }

void me_acquisition_doubt(void)
{
    if (state == ME_RUNNING)
        state = ME_DOUBTED;
}

void me_acquisition_lose(uint32_t samples) { counts.lost += samples; }

void me_acquisition_overrun(void) { counts.overruns++; }

void me_acquisition_error(void)
{
    counts.spi_errors++;
    flags |= ME_FLAG_SPI;
}

void me_acquisition_restarted(void)
{
    counts.resets++;
    flags |= ME_FLAG_RESET;
}

void me_acquisition_hear(void) { heard_us = me_port_us(); }

static bool is_saturated(const int32_t *sample)
{
    for (uint32_t channel = 0; channel < ME_CHANNELS; channel++)
        if (sample[channel] <= ME_COUNT_LOW || sample[channel] >= ME_COUNT_HIGH)
            return true;
    return false;
}

void me_acquisition_take(uint32_t number, uint32_t ready_us, const uint8_t *raw)
{
    int32_t sample[ME_CHANNELS];
    uint64_t open;
    me_acquisition_hear();
    if (state != ME_RUNNING) {
        me_acquisition_lose(1);
        return;
    }
    if (!me_front_end_decode(raw, sample, &open)) {
        me_acquisition_lose(1);
        me_acquisition_error();
        me_acquisition_doubt();
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

/* ---- functions for the main loop */

static void resume(bool started)
{
    me_port_interrupts(false);
    me_acquisition_hear();
    me_source_begin(started);
    state = ME_RUNNING;
    me_port_interrupts(true);
}

/* Retries a front end that does not respond after a delay; its samples are ignored until then. */
static void start(void)
{
    if (me_front_end_start())
        resume(true);
    else
        heard_us = me_port_us() + RETRY_US - SILENCE_US;
}

void me_acquisition_start(void)
{
    me_samples_clear();
    start();
}

static bool is_silent(void) { return (int32_t)(me_port_us() - heard_us) >= (int32_t)SILENCE_US; }

bool me_acquisition_is_in_doubt(void) { return state == ME_DOUBTED || is_silent(); }

/* -> false: a sample came meanwhile, whose transfer must not be stopped */
static bool stop(void)
{
    me_port_interrupts(false);
    const bool is_in_doubt = me_acquisition_is_in_doubt();
    if (is_in_doubt) {
        state = ME_STOPPED;
        if (me_source_stop())
            me_acquisition_lose(1);
    }
    me_port_interrupts(true);
    return is_in_doubt;
}

void me_acquisition_look(void)
{
    if (state == ME_DOUBTED && me_front_end_is_intact()) {
        resume(false);
    } else if (me_acquisition_is_in_doubt() && stop()) {
        me_acquisition_restarted();
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
    const uint32_t since_us = me_port_us() - me_source_ready_us();
    return since_us < ME_PERIOD_US ? ME_PERIOD_US - since_us : 0;
}
