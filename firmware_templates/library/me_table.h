/* SPDX-License-Identifier: Apache-2.0
 * Lookup tables of 256 entries in L1, the first entry for -128, applied after the arithmetic of several
 * kernels. Implementations: me_table.S for GAP9's cores, me_table.c in portable C.
 */
#ifndef ME_TABLE_H
#define ME_TABLE_H

#include <stdint.h>

#include "me_math.h"

/* Looks up 4 * words bytes, words >= 1, at any address; fastest if aligned; y may be x. zero: address of
 * the entry for 0, so that zero[-128] is the first entry. */
void me_table_words(const int8_t *zero, const int8_t *x, int8_t *y, int32_t words);

/* looks up n single bytes; y may be x */
static inline void me_table_row(const int8_t *table, const int8_t *x, int8_t *y, int32_t n)
{
    const int32_t words = n / 4;
    if (words > 0)
        me_table_words(table + 128, x, y, words);
    for (int32_t i = 4 * words; i < n; i++)
        y[i] = me_lookup(table, x[i]);
}

#endif
