/* SPDX-License-Identifier: Apache-2.0
 * A port of the sensor application to Cortex-M, as a template. Time, sleep and interrupts use registers that every
 * Cortex-M has; functions below "yours" are of the chip and the board, and do nothing yet, so that me_port_open fails.
 *
 * To use it, compile this file with src/ of a build for Cortex-M, and with src/firmware/sensor of a build of the same
 * network by `--target gap9 --engine cores --app sensor`, apart from main.c, cluster.c, vectors.S and port_gap9*.
 * Your main calls me_sensor_run. sensor_port.h says what each function does.
 */
#include "network.h"
#include "sensor.h"
#include "sensor_port.h"

#ifndef CORE_HZ
#define CORE_HZ 64000000u /* the core's clock, which SysTick counts */
#endif
#define TICKS_PER_US (CORE_HZ / 1000000u)
#define TICKS_PER_MS (CORE_HZ / 1000u)
#define SYSTICK ((volatile uint32_t *)0xE000E010) /* control, reload, value */
#define INTERRUPT_STATE (*(volatile uint32_t *)0xE000ED04)
#define SYSTICK_IS_PENDING (1u << 26)

static volatile uint32_t milliseconds;

/* Put it into the vector table, as entry 15: every millisecond. */
void SysTick_Handler(void) { milliseconds++; }

static void start_time(void)
{
    SYSTICK[1] = TICKS_PER_MS - 1u;
    SYSTICK[2] = 0;
    SYSTICK[0] = 7; /* the core's clock, interrupts, on */
    while (SYSTICK[2] == 0) {
    }
}

uint32_t me_port_us(void)
{
    uint32_t before, left, late;
    do {
        before = milliseconds;
        left = SYSTICK[2];
        late = (INTERRUPT_STATE & SYSTICK_IS_PENDING) != 0; /* while interrupts are off, at most one */
        if (late)
            left = SYSTICK[2];
    } while (before != milliseconds);
    return (before + late) * 1000u + (TICKS_PER_MS - 1u - left) / TICKS_PER_US;
}

void me_port_interrupts(bool on)
{
    if (on)
        __asm__ volatile("cpsie i" ::: "memory");
    else
        __asm__ volatile("cpsid i" ::: "memory");
}

/* Any interrupt ends the sleep, SysTick's too: after a millisecond at most. A deeper sleep needs another timer. */
void me_port_sleep(uint32_t us, uint32_t until_pass_us)
{
    (void)us, (void)until_pass_us;
    __asm__ volatile("dsb\n\twfi" ::: "memory");
}

/* The core has one clock. */
void me_port_pass(bool begins) { (void)begins; }

int me_port_run(const void *const in[], void *const out[]) { return me_run(in, out); }

/* ---- yours: clock, pins, SPI, UART, watchdog. Interrupts have one priority, so that they do not nest; they call
 * me_sensor_ready (data-ready pin), me_sensor_sample (end of the SPI's DMA), me_sensor_sent, me_sensor_received. */

bool me_port_open(void)
{
    me_port_interrupts(false);
    start_time();
    return false; /* true, once the devices below are started */
}

void me_port_watchdog_feed(void) {}

uint32_t me_port_watchdog_restarts(void) { return 0; }

bool me_port_has_pin(me_pin pin)
{
    (void)pin;
    return false;
}

void me_port_pin(me_pin pin, bool high) { (void)pin, (void)high; }

void me_port_spi_exchange(const uint8_t *tx, uint8_t *rx, uint32_t bytes) { (void)tx, (void)rx, (void)bytes; }

void me_port_spi_start(uint8_t *rx, uint32_t bytes) { (void)rx, (void)bytes; }

void me_port_spi_stop(void) {}

void me_port_uart_start(const uint8_t *bytes, uint32_t count) { (void)bytes, (void)count; }

bool me_port_uart_sends(void) { return false; }

uint32_t me_port_uart_receive(uint8_t *bytes, uint32_t most)
{
    (void)bytes, (void)most;
    return 0;
}
