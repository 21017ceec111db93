/* SPDX-License-Identifier: Apache-2.0
 * How a layer runs in tiles. Cores 0 .. 7 compute a tile while core 8 stores the one before and
 * loads the one behind it; a barrier ends every step. On a host one thread does the same in an
 * order in which a buffer that is written too early shows.
 */
#ifndef ME_TILES_H
#define ME_TILES_H

#include <stdint.h>

#include "me_share.h"

#ifdef ME_HAULS
#include "me_hauls.h"
#else
#define me_hauls_begin() ((void)0)
#define me_moment() ((void)0)
#endif

/* What a layer does with tile t; `load` and `store` start transfers and do not wait for them. */
typedef void (*me_tile_work)(int32_t t, const void *const in[], void *const out[]);

/* Starts what the first tile of the next layer needs and no layer computes. */
typedef void (*me_ahead_work)(void);

/* One command of the DMA, for layers with many: bytes in lines, `stride` apart in L2. */
typedef struct {
    int32_t at, l1, bytes, line, stride;
} me_transfer;

/* lines of `line` bytes one behind the other in L1, `stride` apart in L2; stride 0: one line */
static void me_fetch(int8_t *l1, const int8_t *l2, int32_t bytes, int32_t line, int32_t stride);
static void me_send(const int8_t *l1, int8_t *l2, int32_t bytes, int32_t line, int32_t stride);

#ifdef ME_GAP9

#include "firmware/cluster.h"
#include "firmware/dma.h"
#include "firmware/marks.h"

#define ME_IDS 16u

/* Transfers that nobody has waited for. Only core 8 knows it. */
static uint32_t me_under_way ME_L1;

static void me_wait_for_transfers(void)
{
    if (me_under_way)
        me_dma_wait_all(me_under_way);
    me_under_way = 0;
}

static void me_move(int8_t *l1, int8_t *l2, uint32_t bytes, uint32_t line, uint32_t stride,
                    me_dma_direction direction)
{
    if (me_under_way == (1u << ME_IDS) - 1)
        me_wait_for_transfers();
    const uint32_t id = stride ? me_dma_start_2d(l1, l2, bytes, line, stride, direction)
                               : me_dma_start(l1, l2, bytes, direction);
    me_under_way |= 1u << id;
}

static inline void me_fetch(int8_t *l1, const int8_t *l2, int32_t bytes, int32_t line, int32_t stride)
{
    me_move(l1, (int8_t *)(uintptr_t)l2, (uint32_t)bytes, (uint32_t)line, (uint32_t)stride, ME_L2_TO_L1);
}

static inline void me_send(const int8_t *l1, int8_t *l2, int32_t bytes, int32_t line, int32_t stride)
{
    me_move((int8_t *)(uintptr_t)l1, l2, (uint32_t)bytes, (uint32_t)line, (uint32_t)stride, ME_L1_TO_L2);
}

/* Nothing is under way, whatever an earlier run left. */
static inline void me_tiles_begin(void)
{
    if (me_core() == ME_STEERING) {
        me_under_way = 0;
        me_hauls_begin();
    }
}

/* What the last layer sent to L3 is there. */
static inline void me_tiles_end(void)
{
    if (me_core() == ME_STEERING)
        me_moment();
}

static void me_compute_layer(int32_t tiles, me_tile_work compute, const void *const in[], void *const out[])
{
    for (int32_t t = 0; t < tiles; t++) {
        me_barrier_all();
        compute(t, in, out);
    }
    me_barrier_all();
}

static void me_steer_layer(int32_t tiles, me_tile_work load, me_tile_work store, me_ahead_work ahead,
                           const void *const in[], void *const out[])
{
    me_moment();
    if (load)
        load(0, in, out);
    me_wait_for_transfers();
    for (int32_t t = 0; t < tiles; t++) {
        me_barrier_all();
        me_moment();
        if (store && t > 0)
            store(t - 1, in, out);
        if (t + 1 < tiles)
            load(t + 1, in, out);
        else if (ahead)
            ahead();
        me_wait_for_transfers();
    }
    me_barrier_all();
    if (store)
        store(tiles - 1, in, out);
    me_wait_for_transfers();
}

static inline void me_layer(int32_t tiles, me_tile_work load, me_tile_work compute, me_tile_work store,
                            me_ahead_work ahead, const void *const in[], void *const out[])
{
    if (me_core() == ME_STEERING)
        me_steer_layer(tiles, load, store, ahead, in, out);
    else
        me_compute_layer(tiles, compute, in, out);
}

/* The core that steers notes the time. */
static inline void me_layer_ends(int32_t layer)
{
    if (me_core() == ME_STEERING)
        me_mark(layer);
}

#else

static inline void me_fetch(int8_t *l1, const int8_t *l2, int32_t bytes, int32_t line, int32_t stride)
{
    for (int32_t done = 0; done < bytes; done += line, l2 += stride)
        for (int32_t i = 0; i < line; i++)
            l1[done + i] = l2[i];
}

static inline void me_send(const int8_t *l1, int8_t *l2, int32_t bytes, int32_t line, int32_t stride)
{
    for (int32_t done = 0; done < bytes; done += line, l2 += stride)
        for (int32_t i = 0; i < line; i++)
            l2[i] = l1[done + i];
}

static inline void me_tiles_begin(void)
{
    me_hauls_begin();
}

static inline void me_tiles_end(void)
{
    me_moment();
}

static inline void me_layer(int32_t tiles, me_tile_work load, me_tile_work compute, me_tile_work store,
                            me_ahead_work ahead, const void *const in[], void *const out[])
{
    me_moment();
    if (load)
        load(0, in, out);
    for (int32_t t = 0; t < tiles; t++) {
        me_moment();
        if (store && t > 0)
            store(t - 1, in, out);
        if (t + 1 < tiles)
            load(t + 1, in, out);
        else if (ahead)
            ahead();
        compute(t, in, out);
    }
    if (store)
        store(tiles - 1, in, out);
}

static inline void me_layer_ends(int32_t layer)
{
    (void)layer;
}

#endif

static inline void me_fetch_all(const me_transfer *first, const me_transfer *end, int8_t *l1, const int8_t *l2)
{
    for (; first < end; first++)
        me_fetch(l1 + first->l1, l2 + first->at, first->bytes, first->line, first->stride);
}

static inline void me_send_all(const me_transfer *first, const me_transfer *end, const int8_t *l1, int8_t *l2)
{
    for (; first < end; first++)
        me_send(l1 + first->l1, l2 + first->at, first->bytes, first->line, first->stride);
}

#endif
