/* SPDX-License-Identifier: Apache-2.0
 * How a layer runs in tiles. Cores 0 .. 7 compute a tile while core 8 stores the one before and
 * loads the one behind it, and then helps, where the kernel can be shared with it; a barrier ends
 * every step. On a host one thread does the same in an order in which a buffer that is written too
 * early shows.
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

/* What a layer does with tile t; 0: nothing. `load` and `store` start transfers and do not wait. */
typedef void (*me_tile_work)(int32_t t, const void *const in[], void *const out[]);

/* A layer, one of an array in their order.
 * depth   buffers of what is read: where they are more than two, load(t) starts what tile
 *         t + depth - 2 needs, and the first one all up to it
 * joined  what the layer before computed stays in L1 and nothing has to be loaded in front of the
 *         first tile: it is the next tile of both
 * waits   the kernel waits by itself for what the first tile needs: until then it prepares. 2: it
 *         waits once more, for what comes late
 * helped  the core that steers computes as well, when it has started what a tile needs
 * set     writes what the kernel is told of a tile
 * ahead   starts beside a tile what layers to come need in their first one and no layer computes */
typedef struct {
    int32_t number, tiles, depth, joined, waits, helped, last;
    me_tile_work set, load, compute, store;
    void (*ahead)(int32_t t);
} me_layer_work;

/* One command of the DMA, for layers with many: bytes in lines, `stride` apart in L2. */
typedef struct {
    int32_t at, l1, bytes, line, stride;
} me_transfer;

/* lines of `line` bytes one behind the other in L1, `stride` apart in L2; stride 0: one line */
static void me_fetch(int8_t *l1, const int8_t *l2, int32_t bytes, int32_t line, int32_t stride);
static void me_send(const int8_t *l1, int8_t *l2, int32_t bytes, int32_t line, int32_t stride);

#ifdef ME_GAP9

#define ME_IDS 16u

/* Transfers that nobody has waited for: all; those of the tile at hand; what the first one needs late;
 * of tiles of a layer with more than two buffers; those of layers to come, no more than fifteen of
 * them. Only core 8 knows these. */
static uint32_t me_pending ME_L1, me_under_way ME_L1, me_late ME_L1;
static uint32_t me_of_tile[16] ME_L1, me_early[16] ME_L1, *me_kind ME_L1;

static void me_wait_for(uint32_t *transfers)
{
    const uint32_t pending = *transfers & me_pending;
    *transfers = 0;
    if (pending)
        me_dma_wait_all(pending);
    me_pending &= ~pending;
}

static void me_wait_for_transfers(void)
{
    me_wait_for(&me_under_way);
}

/* Around what is started for a layer to come, and for a tile further ahead. */
static inline void me_for_layer(int32_t layer)
{
    me_kind = &me_early[layer & 15];
}

static inline void me_for_tile(int32_t t)
{
    me_kind = &me_of_tile[t & 15];
    *me_kind = 0;
}

static inline void me_for_this(void)
{
    me_kind = &me_under_way;
}

/* Around the last that is started for tile t, where the kernel can begin the first one without it. */
static inline void me_for_late(int32_t t)
{
    if (t == 0)
        me_kind = &me_late;
}

static __attribute__((noinline)) void me_move(int8_t *l1, int8_t *l2, uint32_t bytes, uint32_t line, uint32_t stride,
                    me_dma_direction direction)
{
    if (me_pending == (1u << ME_IDS) - 1) {
        me_dma_wait_all(me_pending);
        me_pending = 0;
    }
    const uint32_t id = stride ? me_dma_start_2d(l1, l2, bytes, line, stride, direction)
                               : me_dma_start(l1, l2, bytes, direction);
    me_pending |= 1u << id;
    *me_kind |= 1u << id;
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
static inline void me_tiles_begin(const me_layer_work *first, const void *const in[], void *const out[])
{
    (void)first, (void)in, (void)out;
    if (me_core() != ME_STEERING)
        return;
    me_kind = &me_under_way;
    me_pending = me_under_way = me_late = 0;
    me_hauls_begin();
}

/* What the last layer sent to L3 is there. */
static inline void me_tiles_end(void)
{
    if (me_core() == ME_STEERING)
        me_moment();
}

/* While core 8 fetches: no layer before the first one tells its first tile. */
static void me_first_layer(const me_layer_work *layer, const void *const in[], void *const out[])
{
    for (int32_t i = 0; i < 16; i++)
        me_early[i] = 0;
    if (layer->set)
        layer->set(0, in, out);
}

static void me_compute_layer(const me_layer_work *layer, const void *const in[], void *const out[])
{
    const int32_t tiles = layer->tiles;
    if (layer->number == 0) {
        if (me_core() == 0)
            me_first_layer(layer, in, out);
        if (layer->waits)
            me_barrier_workers();
    }
    for (int32_t t = 0; t < tiles; t++) {
        if (t > 0 || !(layer->joined || layer->waits))
            me_barrier_all();
        layer->compute(t, in, out);
    }
    me_barrier_all();
}

static void me_steer_layer(const me_layer_work *layer, const void *const in[], void *const out[])
{
    const me_layer_work *behind = layer->last ? 0 : layer + 1;
    const int32_t tiles = layer->tiles;
    me_moment();
    if (!layer->joined) {
        if (layer->load)
            layer->load(0, in, out);
        me_wait_for_transfers();
        if (layer->depth > 2)
            me_wait_for(&me_of_tile[0]);
        if (layer->number > 0)
            me_wait_for(&me_early[layer->number & 15]);
        if (layer->waits > 1) {
            me_barrier_all();
            me_wait_for(&me_late);
        }
    }
    for (int32_t t = 0; t < tiles; t++) {
        if (t > 0 || !layer->joined)
            me_barrier_all();
        me_moment();
        if (layer->store && t > 0)
            layer->store(t - 1, in, out);
        if (t + 1 < tiles) {
            if (layer->load)
                layer->load(t + 1, in, out);
            layer->set(t + 1, in, out);
        } else if (behind && behind->set)
            behind->set(0, in, out);
        if (layer->ahead)
            layer->ahead(t);
        if (layer->helped)
            layer->compute(t, in, out);
        me_wait_for_transfers();
        if (layer->depth > 2 && t + 1 < tiles)
            me_wait_for(&me_of_tile[(t + 1) & 15]);
    }
    if (behind && behind->joined)
        me_wait_for(&me_early[behind->number & 15]);
    me_barrier_all();
    if (layer->store)
        layer->store(tiles - 1, in, out);
    me_wait_for_transfers();
}

static inline void me_layer(const me_layer_work *layer, const void *const in[], void *const out[])
{
    if (me_core() == ME_STEERING)
        me_steer_layer(layer, in, out);
    else
        me_compute_layer(layer, in, out);
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

static inline void me_tiles_begin(const me_layer_work *first, const void *const in[], void *const out[])
{
    me_hauls_begin();
    if (first->set)
        first->set(0, in, out);
}

static inline void me_tiles_end(void)
{
    me_moment();
}

static inline void me_for_layer(int32_t layer)
{
    (void)layer;
}

static inline void me_for_tile(int32_t t)
{
    (void)t;
}

static inline void me_for_this(void)
{
}

static inline void me_for_late(int32_t t)
{
    (void)t;
}

static inline void me_layer(const me_layer_work *layer, const void *const in[], void *const out[])
{
    me_moment();
    if (layer->load)
        layer->load(0, in, out);
    for (int32_t t = 0; t < layer->tiles; t++) {
        me_moment();
        if (layer->store && t > 0)
            layer->store(t - 1, in, out);
        if (t + 1 < layer->tiles) {
            if (layer->load)
                layer->load(t + 1, in, out);
            layer->set(t + 1, in, out);
        } else if (!layer->last && layer[1].set)
            layer[1].set(0, in, out);
        if (layer->ahead)
            layer->ahead(t);
        layer->compute(t, in, out);
    }
    if (layer->store)
        layer->store(layer->tiles - 1, in, out);
}

static inline void me_layer_ends(int32_t layer)
{
    (void)layer;
}

#endif

/* The loads of tiles `first` to `last`, of `tiles` that there are. */
static inline void me_load_tiles(me_tile_work load, int32_t first, int32_t last, int32_t tiles,
                                 const void *const in[], void *const out[])
{
    for (; first <= last && first < tiles; first++) {
        me_for_tile(first);
        load(first, in, out);
    }
    me_for_this();
}

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
