/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernel of me_tables_s8.c. Implementations: me_table_column.S for GAP9's cores,
 * me_table_column.c in portable C.
 */
#ifndef ME_TABLE_COLUMN_H
#define ME_TABLE_COLUMN_H

#include <stdint.h>

/* Looks up n >= 1 values, `step` bytes apart, in a table whose entry for 0 is *zero; in place. */
void me_table_column(const int8_t *zero, const int8_t *x, int8_t *y, int32_t n, int32_t step);

#endif
