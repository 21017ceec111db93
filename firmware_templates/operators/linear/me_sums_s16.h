/* SPDX-License-Identifier: Apache-2.0
 * From sums to int16, as docs/developers/integer-semantics.md has it. Two bodies: me_sums_s16.S for GAP9's cores,
 * me_sums_s16.c in C.
 */
#ifndef ME_SUMS_S16_H
#define ME_SUMS_S16_H

#include <stdint.h>

#include "me_scale.h"

/* Requantises one of k channels for n >= 1 rows: y = clip((((sum + bias) >> pre) * mult + offset) >>
 * shift) */
void me_sums_s16(const int32_t *sum, int32_t n, int32_t k, const me_channel *to, int32_t pre, int16_t *y);

#endif
