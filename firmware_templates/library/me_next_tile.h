/* SPDX-License-Identifier: Apache-2.0
 * The tile after the current one, for kernels that start an accelerator on it before they end. The control
 * core counts the tiles of a run whose operands have been loaded.
 */
#ifndef ME_NEXT_TILE_H
#define ME_NEXT_TILE_H

#include <stdint.h>

/* the next tile's data that the kernel needs to start it; 0: the kernel does not start it
 * number   index of the tile in the run
 * follows  whether the tile before may have started this one */
typedef struct {
    const void *tile;
    int32_t number, follows;
} me_next_tile;

#ifdef ME_GAP9

extern volatile int32_t me_tiles_loaded; /* index of the last tile whose operands have been loaded */

static inline int32_t me_is_loaded(const me_next_tile *next)
{
    return next->tile && me_tiles_loaded == next->number;
}

#define me_no_tile_is_loaded() ((void)(me_tiles_loaded = 0))
#define me_next_tile_is_loaded() ((void)me_tiles_loaded++)

#else

static inline int32_t me_is_loaded(const me_next_tile *next) { return next->tile != 0; }

#endif

#endif
