/* SPDX-License-Identifier: Apache-2.0
 * A front end: start, check, and the format of its samples. ads129x.c and device.c implement it.
 */
#ifndef ME_FRONT_END_H
#define ME_FRONT_END_H

#include <stdbool.h>
#include <stdint.h>

/* Resets and configures the front end, and starts conversions. Takes up to half a second, during which no samples
 * are read. -> false if it does not answer as expected */
bool me_front_end_start(void);

/* Whether the front end still has its settings. Conversions continue; a sample may be missed. */
bool me_front_end_is_intact(void);

/* raw: the ME_SAMPLE_BYTES of one sample. counts: signed integers of all ME_CHANNELS channels.
 * open: bit c % 64 is set if electrode c is not connected. -> false if raw is no sample */
bool me_front_end_decode(const uint8_t *raw, int32_t *counts, uint64_t *open);

#endif
