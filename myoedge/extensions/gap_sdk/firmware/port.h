/* SPDX-License-Identifier: Apache-2.0
 * Differences between GAP SDK 5.x and 4.x (-DME_SDK_4). The other files of this folder are the same for
 * both.
 */
#ifndef ME_PORT_H
#define ME_PORT_H

#include "pmsis.h"

#include "bsp/bsp.h"
#include "bsp/flash.h"
#include "bsp/fs.h"
#include "bsp/fs/readfs.h"
#include "bsp/ram.h"
#ifdef ME_MRAM_WEIGHTS
#include "bsp/flash/mram.h"
#endif

/* Two events: one calls a function in an interrupt, the other wakes the fabric controller. */
/* Register CCR1 of the clock generator: dividers of peripherals (low byte), controller, cluster, SFU. */
#define ME_CLOCK_DIVIDERS (*(volatile uint32_t *)0x1A10002C)

#ifdef ME_SDK_4
typedef pi_task_t me_event;
#define me_event_call(event, function) pi_task_irq_callback((event), (function), 0)
#define me_event_open(event) pi_task_block(event)
#define me_event_push(event) pi_task_push(event)
#define me_event_wait(event) pi_task_wait_on(event)
#else
typedef pi_evt_t me_event;
#define me_event_call(event, function) pi_evt_callback_irq_init((event), (function), 0)
#define me_event_open(event) pi_evt_sig_init(event)
#define me_event_push(event) pi_evt_push(event)
#define me_event_wait(event) pi_evt_wait(event)
#endif

/* Configures a pad as an output that starts low; sets its level. */
#ifdef ME_SDK_4
#include "pmsis/chips/gap9/pmu.h" /* pi_pmu_voltage_set; pmsis.h of 4.12 does not include it */

static struct pi_device me_gpio;

/* PI_GPIO_A00 .. PI_GPIO_A95 are equally spaced: they hold the pad's number twice, and a flag. */
static inline pi_gpio_e me_gpio_of(uint32_t pad)
{
    const uint32_t first = (uint32_t)PI_GPIO_A00;
    return (pi_gpio_e)(first + pad * ((uint32_t)PI_GPIO_A01 - first));
}

static inline void me_pad_open(uint32_t pad)
{
    struct pi_gpio_conf conf;
    pi_gpio_conf_init(&conf);
    pi_open_from_conf(&me_gpio, &conf);
    pi_gpio_open(&me_gpio);
    pi_pad_set_function((pi_pad_e)((uint32_t)PI_PAD_000 + pad), PI_PAD_FUNC1);
    pi_gpio_pin_configure(&me_gpio, me_gpio_of(pad), PI_GPIO_OUTPUT);
    pi_gpio_pin_write(&me_gpio, (uint32_t)me_gpio_of(pad), 0);
}

static inline void me_pad_set(uint32_t pad, uint32_t level)
{
    pi_gpio_pin_write(&me_gpio, (uint32_t)me_gpio_of(pad), level);
}
#else
static inline void me_pad_set(uint32_t pad, uint32_t level) { pi_gpio_pin_write(pad, level); }

static inline void me_pad_open(uint32_t pad)
{
    pi_pad_function_set(pad, 1);
    pi_gpio_pin_configure(pad, PI_GPIO_OUTPUT);
    me_pad_set(pad, 0);
}
#endif

#endif
