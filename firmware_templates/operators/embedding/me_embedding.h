/* SPDX-License-Identifier: Apache-2.0
 * Rows of a table by integers: embeddings, one-hot vectors, functions of an integer. No barrier is inside.
 */
#ifndef ME_EMBEDDING_H
#define ME_EMBEDDING_H

#include <stdint.h>

/* Row of an integer: id - first, limited to 0 .. last_row; first + last_row is an int32.
 * table         int8 [last_row + 1][width], in L1 or L2
 * bytes_per_id  4: int32, 1: uint8 */
typedef struct {
    int32_t first, last_row, width, bytes_per_id;
    const int8_t *table;
} me_embedding_s8_params;

/* ids [n], y int8 [n][bytes]: of every row the bytes from `start` on */
typedef struct {
    const void *ids;
    int8_t *y;
    int32_t n, start, bytes;
} me_embedding_s8_tile;

/* int8 y[i] = bytes start to start + bytes - 1 of table[clip(ids[i] - first, 0, last_row)], ids int32 or uint8.
 * last_row, n, start at least 0; start + bytes at most width. Operands in L1 at any address; cores 0 .. 7 call it
 * together, each copies its share of the bytes. */
void me_embedding_s8(const me_embedding_s8_params *op, const me_embedding_s8_tile *tile);

/* The same; the control core has the DMA bring rows from L2, the others return at once.
 * fetch        me_fetch of me_tiles.h: (L1, L2, bytes, bytes of a line, 0)
 * nine_cores   1 */
typedef struct {
    int32_t first, last_row, width, bytes_per_id;
    const int8_t *table;
    void (*fetch)(int8_t *l1, const int8_t *l2, int32_t bytes, int32_t line, int32_t stride);
    int32_t nine_cores;
} me_embedding_fetched_s8_params;

typedef me_embedding_s8_tile me_embedding_fetched_s8_tile;

/* me_embedding_s8 of a table in L2, with the same ranges. All nine cores call it; core 8 does the work. */
void me_embedding_fetched_s8(const me_embedding_fetched_s8_params *op,
                             const me_embedding_fetched_s8_tile *tile);

/* Rows from L3, all operands in L2. The control core fetches them, the others return at once.
 * l3   offset of the table in L3, whose rows begin at words
 * nine_cores   1 */
typedef struct {
    int32_t first, last_row, width, bytes_per_id;
    uint32_t l3;
    int32_t nine_cores;
} me_embedding_l3_s8_params;

/* ids [n], y int8 [n][width], aligned to words */
typedef struct {
    const void *ids;
    int8_t *y;
    int32_t n;
} me_embedding_l3_s8_tile;

/* me_embedding_s8 of whole rows of a table in L3, at l3 + (width up to a multiple of 4) * row; l3 is a multiple
 * of 4. n, last_row at least 0, width at least 1. All nine cores call it; core 8 does the work. */
void me_embedding_l3_s8(const me_embedding_l3_s8_params *op, const me_embedding_l3_s8_tile *tile);
#ifndef ME_GAP9
extern const void *me_embedding_l3; /* L3 of the running network */
#endif

/* The table row of integer number i. */
static inline int32_t me_row_of(const me_embedding_s8_params *op, const void *ids, int32_t i)
{
    const int32_t id = op->bytes_per_id == 4 ? ((const int32_t *)ids)[i] : ((const uint8_t *)ids)[i];
    const int32_t end = op->first + op->last_row;
    return (id < op->first ? op->first : id > end ? end : id) - op->first;
}

#endif
