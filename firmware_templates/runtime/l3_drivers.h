/* SPDX-License-Identifier: Apache-2.0
 * Drivers of the two controllers of an external memory: one transfer at a time, started by the fabric
 * controller.
 */
#ifndef ME_L3_DRIVERS_H
#define ME_L3_DRIVERS_H

#include <stdbool.h>
#include <stdint.h>

void me_l3_v4_open(void); /* GAP9: uDMA v4 and octal SPI; an interrupt wakes at the end of a transfer */
void me_l3_v4_begin(uint32_t l3, uint32_t l2, uint32_t bytes, bool into_l2);
bool me_l3_v4_busy(void);

void me_l3_v3_open(void); /* pulp-open: hyper bus; the end of a transfer must be polled */
void me_l3_v3_begin(uint32_t l3, uint32_t l2, uint32_t bytes, bool into_l2);
bool me_l3_v3_busy(void);

#endif
