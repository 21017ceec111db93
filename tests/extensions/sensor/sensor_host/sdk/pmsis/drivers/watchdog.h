/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

void pi_watchdog_timer_set(uint32_t ticks);
void pi_watchdog_start(void);
void pi_watchdog_timer_rearm(void);
