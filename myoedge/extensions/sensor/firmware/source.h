/* SPDX-License-Identifier: Apache-2.0
 * Where samples come from, and what acquisition.c does with them. data_ready.c reads them from an
 * SPI at each data-ready, uart_samples.c takes them from the line.
 */
#ifndef ME_SOURCE_H
#define ME_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "samples.h"

/* ---- of the source; called with interrupts off */

/* Starts to deliver samples. anew: the front end was restarted, so that the times of its samples have
 * changed. */
void me_source_begin(bool anew);

/* Stops to deliver samples. -> whether one was in transfer, and is lost */
bool me_source_stop(void);

/* -> the time of the last sample */
uint32_t me_source_ready_us(void);

/* ---- of acquisition.c; called by the source in interrupts */

/* STOPPED: no samples are delivered. DOUBTED: something was irregular; samples are dropped until the main
 * loop has checked the front end. */
typedef enum { ME_STOPPED, ME_RUNNING, ME_DOUBTED } me_acquisition_state;
me_acquisition_state me_acquisition_now(void);

/* Something was irregular: the front end is checked before further samples are used. */
void me_acquisition_doubt(void);

/* Counts lost samples; data-ready edges without a sample; invalid transfers. */
void me_acquisition_lose(uint32_t samples);
void me_acquisition_overrun(void);
void me_acquisition_error(void);

/* The front end is not silent: a sample's transfer begins. */
void me_acquisition_hear(void);

/* The front end has restarted by itself. */
void me_acquisition_restarted(void);

/* Stores a sample, given its number, its time and its ME_SAMPLE_BYTES bytes. */
void me_acquisition_take(uint32_t number, uint32_t ready_us, const uint8_t *raw);

/* Periods in a time, rounded to the nearest number, and the remainder in 1/16 us. */
uint32_t me_periods_in(uint32_t us, int32_t *longer);

#endif
