/* SPDX-License-Identifier: Apache-2.0
 * Linear predictors from autocorrelations.
 */
#ifndef ME_LEVINSON_H
#define ME_LEVINSON_H

#include <stdint.h>

enum { ME_MOST_ORDER = 8 };

/* Levinson's and Durbin's recursion: a[1 .. order] in 2^-24 such that x[t] is nearly the sum of a[k] * x[t - k], for r[k]
 * the sum of x[t] * x[t + k]; order 1 to 8, |r[k]| <= r[0] < 2^53. r is shifted so that r[0] has 30 bits. Zeros if r[0] is
 * zero. */
void me_levinson(int32_t *a, int64_t *r, int32_t order);

#endif
