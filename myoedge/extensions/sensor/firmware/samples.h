/* SPDX-License-Identifier: Apache-2.0
 * A ring of quantised samples, written by interrupts and read by the main loop. Samples have numbers
 * from 0; lost ones have a number too, but no place.
 */
#ifndef ME_SAMPLES_H
#define ME_SAMPLES_H

#include <stdbool.h>
#include <stdint.h>

#include "sensor_network.h"

enum { ME_SAMPLE_OPEN = 1, ME_SAMPLE_SATURATED = 2 }; /* bits of flags */

typedef struct {
    uint32_t number, time_us, flags;
} me_sample_facts;

/* Discards all samples. */
void me_samples_clear(void);

/* Quantises and stores a sample, given the counts of all channels. */
void me_samples_put(const me_sample_facts *facts, const int32_t *counts);

/* Marks a stored sample as lost. -> whether it was stored */
bool me_samples_withdraw(uint32_t number);

/* Number after that of the newest sample; number of the first sample after the last lost one. */
uint32_t me_samples_end(void);
uint32_t me_samples_gap_end(void);

/* Copies ME_WINDOW samples, beginning with `first`, to the network's input. facts: time of the last sample,
 * flags of all. -> 0, or the number of samples up to the last missing one */
uint32_t me_samples_copy(uint32_t first, me_sample *to, me_sample_facts *facts);

#endif
