/* SPDX-License-Identifier: Apache-2.0
 * The sensor application's port for GAP9 without an operating system: interrupts, sleep, watchdog,
 * network.
 */
#include "port_gap9.h"

#include "clock.h"
#include "cluster.h"
#include "l3.h"
#include "marks.h"
#ifdef ME_MRAM_READS
#include "me_mram.h"
#include "mram.h"
#endif
#include "network.h"
#include "platform.h"
#include "sensor.h"
#include "sensor_network.h"
#include "sensor_port.h"

/* interrupt controller and SoC events */
#define ITC 0x1A109000u
#define ITC_MASK ITC
#define ITC_EVENT (ITC + 0x24u)
enum { LINE_TIMER = 10, LINE_GPIO = 15, LINE_EVENT = 26 };

/* the timer that wakes the chip */
#define WAKE_TIMER 0x1A10B000u

/* watchdog, and an 8-bit register that survives its restart */
#define WATCHDOG_FEED 0x1A1040C8u
#define WATCHDOG_SET 0x1A1040CCu
#define WATCHDOG_ON 0x80000000u
#define WATCHDOG_PERIODS 32768u /* timeout of the watchdog: one second */
#define SURVIVES_READ 0x1A1040F8u
#define SURVIVES_WRITE 0x1A104104u

/* power of the cluster */
#define PICL_STATUS 0x1A107000u
#define PICL_BUSY 1u
#define PICL_ACCESS 0x10000800u
enum { CLUSTER_ON = 0, CLUSTER_OFF = 6 };

extern void me_vectors(void);

static me_platform here; /* me_here is in L1, whose content is lost when the cluster is switched off */
static enum { ON, RISING, OFF } cluster;
static uint32_t restarts;

/* ---- interrupts */

/* For C code outside interrupt handlers; handlers do not call it, because interrupts are off in them. */
void me_port_interrupts(bool on)
{
    if (on)
        __asm__ volatile("csrsi mstatus, 8" ::: "memory");
    else
        __asm__ volatile("csrci mstatus, 8" ::: "memory");
}

static void serve_event(uint32_t event)
{
    me_port_line_event(event);
    me_port_front_end_event(event);
#ifdef ME_MRAM_READS
    me_mram_event(event);
#endif
}

__attribute__((interrupt)) void me_port_interrupt(void);
__attribute__((interrupt)) void me_port_interrupt(void)
{
    uint32_t cause;
    __asm__ volatile("csrr %0, mcause" : "=r"(cause));
    if ((cause & 31u) == LINE_EVENT)
        serve_event(ME_REG(ITC_EVENT));
    else if ((cause & 31u) == LINE_GPIO)
        me_port_edge();
}

/* ---- sleep */

static void wait_for_power(void)
{
    while (ME_REG(PICL_STATUS) & PICL_BUSY)
        ;
}

/* Returns while the cluster's power is still rising or falling. */
static void set_cluster_power(uint32_t mode)
{
    wait_for_power();
    ME_REG(ME_PMU_ISOLATE) = mode;
    ME_REG(ME_PMU_CLUSTER) = PICL_ACCESS;
    cluster = mode == CLUSTER_ON ? RISING : OFF;
}

/* Switches the cluster off if that saves energy, and on again before the last sample of a pass. -> the
 * maximum time to sleep */
static uint32_t choose_power(uint32_t us, uint32_t until_pass_us)
{
    if (cluster != OFF && until_pass_us >= ME_WORTH_OFF_US)
        set_cluster_power(CLUSTER_OFF);
    if (cluster == OFF && until_pass_us <= ME_RISE_US)
        set_cluster_power(CLUSTER_ON);
    if (cluster != OFF || until_pass_us - ME_RISE_US >= us)
        return us;
    return until_pass_us - ME_RISE_US;
}

void me_port_sleep(uint32_t us, uint32_t until_pass_us)
{
    const uint32_t most_us = choose_power(us, until_pass_us);
    ME_REG(WAKE_TIMER + ME_TIMER_COMPARE) = most_us * (ME_CHIP_HZ / ME_WAITING / 1000000u);
    /* The timer starts again at each match, so that a lost interrupt costs one more sleep at most. */
    ME_REG(WAKE_TIMER + ME_TIMER_CONFIG) = ME_TIMER_BEGIN | ME_TIMER_INTERRUPT | ME_TIMER_AGAIN;
    __asm__ volatile("wfi" ::: "memory");
    ME_REG(WAKE_TIMER + ME_TIMER_CONFIG) = 0;
}

/* ---- watchdog */

void me_port_watchdog_feed(void) { ME_REG(WATCHDOG_FEED) = 1; }

uint32_t me_port_watchdog_restarts(void) { return restarts; }

static void start_watchdog(void)
{
    restarts = ME_REG(SURVIVES_READ) & 0xFFu;
    ME_REG(SURVIVES_WRITE) = restarts < 0xFFu ? restarts + 1 : restarts;
    ME_REG(WATCHDOG_SET) = WATCHDOG_ON | WATCHDOG_PERIODS;
}

/* ---- start, and the network */

bool me_port_open(void)
{
    here = me_here;
    me_port_open_clock();
    start_watchdog();
    me_port_open_front_end();
    me_port_open_line();
    __asm__ volatile("csrw mtvec, %0" ::"r"(me_vectors));
    ME_REG(ITC_MASK) = 1u << LINE_TIMER | 1u << LINE_GPIO | 1u << LINE_EVENT;
    return true;
}

static const void *const *network_in;
static void *const *network_out;

static void infer(int32_t core, void *unused)
{
    (void)unused;
    if (core == ME_CONTROL_CORE)
        me_mark(-1);
    me_run(network_in, network_out);
}

int me_port_run(const void *const in[], void *const out[])
{
    if (cluster == OFF)
        set_cluster_power(CLUSTER_ON);
    if (cluster == RISING) {
        wait_for_power();
        me_here = here;
        me_l3_open();
#ifdef ME_MRAM_READS
        me_mram_forget();
#endif
        me_cluster_start();
        cluster = ON;
    }
    network_in = in;
    network_out = out;
    me_cluster_run(infer, 0);
#ifdef ME_MRAM_READS
    return me_mram_result();
#else
    return ME_OK;
#endif
}
