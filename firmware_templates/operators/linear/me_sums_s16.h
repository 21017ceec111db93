/* SPDX-License-Identifier: Apache-2.0
 * Requantisation from int32 sums to int16 (docs/developers/integer-semantics.md). Implementations:
 * me_sums_s16.S for GAP9's cores, me_sums_s16.c in portable C.
 */
#ifndef ME_SUMS_S16_H
#define ME_SUMS_S16_H

#include <stdint.h>

#include "me_scale.h"

/* Requantises one of k channels for n >= 1 rows: y = clip((((sum + bias) >> pre) * mult + offset) >>
 * shift) */
void me_sums_s16(const int32_t *sum, int32_t n, int32_t k, const me_channel *to, int32_t pre, int16_t *y);

#endif
