/* SPDX-License-Identifier: Apache-2.0
 * What GAP SDK 5.x and 4.x (-DME_SDK_4) say differently. Everything else in this folder is the same
 * for both.
 */
#ifndef ME_PORT_H
#define ME_PORT_H

#include "pmsis.h"

#include "bsp/bsp.h"
#include "bsp/flash.h"
#include "bsp/fs.h"
#include "bsp/fs/readfs.h"
#include "bsp/ram.h"

/* A pad as an output that starts low, and its level. */
#ifdef ME_SDK_4
static struct pi_device me_gpio;

static inline void me_pad_open(uint32_t pad)
{
    struct pi_gpio_conf conf;
    pi_gpio_conf_init(&conf);
    pi_open_from_conf(&me_gpio, &conf);
    pi_gpio_open(&me_gpio);
    pi_pad_set_function((pi_pad_e)pad, PI_PAD_FUNC1);
    pi_gpio_pin_configure(&me_gpio, (pi_gpio_e)pad, PI_GPIO_OUTPUT);
    pi_gpio_pin_write(&me_gpio, pad, 0);
}

static inline void me_pad_set(uint32_t pad, uint32_t level)
{
    pi_gpio_pin_write(&me_gpio, pad, level);
}
#else
static inline void me_pad_set(uint32_t pad, uint32_t level)
{
    pi_gpio_pin_write(pad, level);
}

static inline void me_pad_open(uint32_t pad)
{
    pi_pad_function_set(pad, 1);
    pi_gpio_pin_configure(pad, PI_GPIO_OUTPUT);
    me_pad_set(pad, 0);
}
#endif

#endif
