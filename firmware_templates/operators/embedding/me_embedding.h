/* SPDX-License-Identifier: Apache-2.0
 * Embedding: rows of a table outside L1, selected by integers. All nine cores call a kernel; the control
 * core starts the transfers of the rows, the other cores return at once. There is no barrier inside.
 */
#ifndef ME_EMBEDDING_H
#define ME_EMBEDDING_H

#include <stdint.h>

/* Maps an integer id to a row: id - first, limited to 0 .. last_row; first + last_row fits int32.
 * width         bytes per row, at least 1
 * bytes_per_id  4: int32, 1: uint8 */
typedef struct {
    int32_t first, last_row, width, bytes_per_id;
} me_embedding_rows;

/* table        int8 [last_row + 1][width], in L2
 * fetch        me_fetch of me_tiles.h: (L1, L2, bytes, bytes of a line, 0)
 * nine_cores   1 */
typedef struct {
    me_embedding_rows rows;
    const int8_t *table;
    void (*fetch)(int8_t *l1, const int8_t *l2, int32_t bytes, int32_t line, int32_t stride);
    int32_t nine_cores;
} me_embedding_fetched_s8_params;

/* ids [n], y int8 [n][bytes]: bytes [start, start + bytes) of each row */
typedef struct {
    const void *ids;
    int8_t *y;
    int32_t n, start, bytes;
} me_embedding_fetched_s8_tile;

/* int8 y[i] = bytes [start, start + bytes) of table[clip(ids[i] - first, 0, last_row)]; ids int32 or uint8
 * in L1. The DMA loads the rows. last_row, n, start at least 0; start + bytes at most width. */
void me_embedding_fetched_s8(const me_embedding_fetched_s8_params *op,
                             const me_embedding_fetched_s8_tile *tile);

/* l3   offset of the table in L3; rows are aligned to words
 * nine_cores   1 */
typedef struct {
    me_embedding_rows rows;
    uint32_t l3;
    int32_t nine_cores;
} me_embedding_l3_s8_params;

/* ids [n], y int8 [n][width], aligned to words */
typedef struct {
    const void *ids;
    int8_t *y;
    int32_t n;
} me_embedding_l3_s8_tile;

/* As me_embedding_fetched_s8 for whole rows of a table in L3. Row r is at l3 + r * (width rounded up to a
 * multiple of 4); l3 is a multiple of 4, and ids and y are in L2. n, last_row at least 0. */
void me_embedding_l3_s8(const me_embedding_l3_s8_params *op, const me_embedding_l3_s8_tile *tile);
#ifndef ME_GAP9
extern const void *me_embedding_l3; /* L3 memory of the running network */
#endif

/* -> the table row of ids[i] */
static inline int32_t me_row_of(const me_embedding_rows *op, const void *ids, int32_t i)
{
    const int32_t id = op->bytes_per_id == 4 ? ((const int32_t *)ids)[i] : ((const uint8_t *)ids)[i];
    const int32_t end = op->first + op->last_row;
    return (id < op->first ? op->first : id > end ? end : id) - op->first;
}

#endif
