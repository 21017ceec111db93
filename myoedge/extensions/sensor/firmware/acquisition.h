/* SPDX-License-Identifier: Apache-2.0
 * Samples from the front end into the ring, and what goes wrong on the way.
 */
#ifndef ME_ACQUISITION_H
#define ME_ACQUISITION_H

#include <stdbool.h>
#include <stdint.h>

/* Counts since the start.
 * lost       samples that were not read, were invalid, or came while the front end was in doubt
 * saturated  samples with a channel at its limit      spi_errors   transfers without a valid sample
 * resets     restarts of the front end                overruns     data-ready edges without a sample
 * open       bit c % 64: electrode c was not connected in the last sample */
typedef struct {
    uint32_t lost, saturated, spi_errors, resets, overruns;
    uint64_t open;
} me_acquired;

/* Starts the front end for the first time. */
void me_acquisition_start(void);

/* For the main loop: checks a front end that is in doubt or silent, and restarts it if necessary. */
void me_acquisition_look(void);

/* Whether me_acquisition_look has work. */
bool me_acquisition_is_in_doubt(void);

/* Flags of packet.h for the next decision; reading clears them. */
uint32_t me_acquisition_flags(void);

me_acquired me_acquisition_counts(void);

/* Expected time until the next data-ready edge. */
uint32_t me_acquisition_until_ready_us(void);

#endif
