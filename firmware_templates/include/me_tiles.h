/* SPDX-License-Identifier: Apache-2.0
 * Double buffering of the tiles of a layer. While cores 0 .. 7 compute tile t, the control core (core 8)
 * stores tile t - 1, loads tile t + 1 and writes the arguments of its kernel call; a barrier ends the tile.
 * On a host, one thread does the same in an order in which overwriting a buffer too early changes the
 * results.
 */
#ifndef ME_TILES_H
#define ME_TILES_H

#include <stdint.h>

#include "me_share.h"

/* A network with transfers from memory levels includes me_level_transfers.h before this file. */
#ifndef ME_LEVEL_TRANSFERS_H
#define me_transfers_begin() ((void)0)
#define me_timeline_step() ((void)0)
#define me_transfers_loop_begins() ((void)0)
#define me_transfers_loop_again() ((void)0)
#endif

/* A network whose kernels start the next tile includes me_next_tile.h before this file. */
#ifndef ME_NEXT_TILE_H
#define me_no_tile_is_loaded() ((void)0)
#define me_next_tile_is_loaded() ((void)0)
#define me_make_jobs(layer, t) ((void)0)
#define me_has_jobs(layer) 0
#endif

/* A function of a layer: for its only tile, or for tile t. 0: nothing to do. */
typedef union {
    void (*once)(void);
    void (*of_tile)(int32_t t);
} me_tile_function;

/* A layer. A network is an array of layers; its last entry has no functions, and one tile: the compiler then
 * removes the loop over tiles if all layers have one tile.
 * tiles         1 or more
 * buffers       buffers per operand that is loaded for each tile; 0: two. With more, load(t) starts the
 *               transfers of tile t + buffers - 2, and load(0) those of all tiles up to that one
 * pass_tiles    tiles of a pass, after which transfers from memory levels are those of the first pass again;
 *               only with ME_PASSES. 0: tiles have no passes
 * back_to_back  the layer before leaves its result in L1 and the first tile loads nothing: no barrier except
 *               that of the tile before
 * kernel_waits  the kernel itself waits for the operands of the first tile, after what it can prepare without
 *               them
 * nine_cores    the control core computes too, after starting all transfers of a tile
 * arguments     writes the arguments of the kernel call
 * jobs          fetches or makes its accelerator jobs; then only the control core calls it and `arguments`
 * load, store   start transfers and do not wait
 * prefetch      starts transfers of constants for the first tiles of later layers */
typedef struct {
    int32_t tiles, buffers, back_to_back, kernel_waits, nine_cores;
#ifdef ME_PASSES
    int32_t pass_tiles;
#endif
    me_tile_function arguments, jobs, load, compute, store, prefetch;
} me_layer;

/* A network with loops has a copy of these functions for each layer of a loop. */
#ifndef ME_OF_A_LAYER
#define ME_OF_A_LAYER static inline
#endif

/* Inputs and outputs of the network: the caller's buffers. */
static const void *const *me_in ME_L1;
static void *const *me_out ME_L1;

/* A DMA command, for layers with many of them: lines of `line` bytes, `stride` bytes apart in L2. */
typedef struct {
    int32_t at, l1, bytes, line, stride;
} me_transfer;

/* Copies lines of `line` bytes, contiguous in L1, `stride` bytes apart in L2; stride 0: one line. */
static void me_fetch(int8_t *l1, const int8_t *l2, int32_t bytes, int32_t line, int32_t stride);
static void me_send(const int8_t *l1, int8_t *l2, int32_t bytes, int32_t line, int32_t stride);

static inline void me_call(me_tile_function function, int32_t tiles, int32_t t)
{
    if (tiles == 1)
        function.once();
    else
        function.of_tile(t);
}

/* Before tile t, in the control core: counts its timeline step, of a pass again. */
static inline void me_timeline_tile(const me_layer *layer, int32_t t)
{
#ifdef ME_PASSES
    if (layer->pass_tiles && t == 0)
        me_transfers_loop_begins();
    else if (layer->pass_tiles && t % layer->pass_tiles == 0)
        me_transfers_loop_again();
#else
    (void)layer;
    (void)t;
#endif
    me_timeline_step();
}

#ifdef ME_NEXT_TILE_H
static inline void me_make_jobs(const me_layer *layer, int32_t t)
{
    if (layer->jobs.once)
        me_call(layer->jobs, layer->tiles, t);
}

static inline int me_has_jobs(const me_layer *layer) { return layer->jobs.once != 0; }
#endif

/* Writes the arguments of a layer's first tile and, if it has accelerator jobs, its jobs. */
static inline void me_begin_layer(const me_layer *layer)
{
    if (layer->arguments.once)
        me_call(layer->arguments, layer->tiles, 0);
    me_make_jobs(layer, 0);
}

/* While tile t is computed: stores the tile before, loads the next tile and writes its arguments. */
ME_OF_A_LAYER void me_between_tiles(const me_layer *layer, int32_t tiles, int32_t t)
{
    if (t > 0 && layer->store.of_tile)
        layer->store.of_tile(t - 1);
    if (t + 1 < tiles) {
        if (layer->load.of_tile)
            layer->load.of_tile(t + 1);
        layer->arguments.of_tile(t + 1);
    } else if (layer[1].arguments.once)
        me_call(layer[1].arguments, layer[1].tiles, 0);
    me_make_jobs(t + 1 < tiles ? layer : layer + 1, t + 1 < tiles ? t + 1 : 0);
    if (layer->prefetch.once)
        me_call(layer->prefetch, tiles, t);
}

#ifdef ME_GAP9

#define ME_IDS 16u

/* Ids of DMA transfers that have not been awaited, as bit sets: all of them, of the next tile,
 * of each tile of a layer with more than two buffers, of prefetches by layer (at most fifteen layers).
 * New transfers are added to *me_started. Only the control core uses them. */
static uint32_t me_pending ME_L1, me_of_next ME_L1;
static uint32_t me_of_tile[16] ME_L1, me_of_layer[16] ME_L1, *me_started ME_L1;

static void me_wait_for(uint32_t *transfers)
{
    const uint32_t pending = *transfers & me_pending;
    *transfers = 0;
    if (pending)
        me_dma_wait_all(pending);
    me_pending &= ~pending;
}

static inline void me_wait_for_all(void)
{
    if (me_pending)
        me_dma_wait_all(me_pending);
    me_pending = 0;
}

/* Transfers started from here on are prefetches for this layer. */
static inline void me_start_for_layer(int32_t layer) { me_started = &me_of_layer[layer & 15]; }

static inline void me_start_for_tile(int32_t t)
{
    me_started = &me_of_tile[t & 15];
    *me_started = 0;
}

static inline void me_start_for_next(void) { me_started = &me_of_next; }

static __attribute__((noinline)) void me_move(int8_t *l1, int8_t *l2, uint32_t bytes, uint32_t line,
                                              uint32_t stride, me_dma_direction direction)
{
    if (me_pending == (1u << ME_IDS) - 1)
        me_wait_for_all();
    const uint32_t id = stride ? me_dma_start_2d(l1, l2, bytes, line, stride, direction)
                               : me_dma_start(l1, l2, bytes, direction);
    me_pending |= 1u << id;
    *me_started |= 1u << id;
}

static inline void me_fetch(int8_t *l1, const int8_t *l2, int32_t bytes, int32_t line, int32_t stride)
{
    me_move(l1, (int8_t *)(uintptr_t)l2, (uint32_t)bytes, (uint32_t)line, (uint32_t)stride, ME_L2_TO_L1);
}

static inline void me_send(const int8_t *l1, int8_t *l2, int32_t bytes, int32_t line, int32_t stride)
{
    me_move((int8_t *)(uintptr_t)l1, l2, (uint32_t)bytes, (uint32_t)line, (uint32_t)stride, ME_L1_TO_L2);
}

/* Marks that no transfer is pending, regardless of earlier runs. */
static inline void me_tiles_begin(const me_layer *first, const void *const in[], void *const out[])
{
    (void)first;
    if (me_core() == 0 || me_core() == ME_CONTROL_CORE) {
        me_in = in;
        me_out = out;
    }
    if (me_core() != ME_CONTROL_CORE)
        return;
    me_started = &me_of_next;
    me_pending = me_of_next = 0;
    me_no_tile_is_loaded();
    me_transfers_begin();
}

/* Waits until the last layer's results have arrived in L3. */
static inline void me_tiles_end(void)
{
    if (me_core() == ME_CONTROL_CORE)
        me_timeline_step();
}

/* Writes the arguments of the network's first tile, while the control core loads it. */
static void me_first_arguments(const me_layer *layer)
{
    for (int32_t i = 0; i < 16; i++)
        me_of_layer[i] = 0;
    me_begin_layer(layer);
}

ME_OF_A_LAYER void me_compute_layer(const me_layer *layer, int32_t number)
{
    const int32_t tiles = layer->tiles;
    if (number == 0) {
        if (me_core() == 0 && !me_has_jobs(layer))
            me_first_arguments(layer);
        if (layer->kernel_waits)
            me_barrier_workers();
    }
    for (int32_t t = 0; t < tiles; t++) {
        if (t > 0 || !(layer->back_to_back || layer->kernel_waits))
            me_barrier_all();
        me_call(layer->compute, tiles, t);
    }
    me_barrier_all();
}

ME_OF_A_LAYER void me_move_layer(const me_layer *layer, int32_t number)
{
    const int32_t tiles = layer->tiles;
    me_timeline_step();
    if (!layer->back_to_back) {
        if (layer->load.once)
            me_call(layer->load, tiles, 0);
        if (number == 0 && me_has_jobs(layer))
            me_first_arguments(layer);
        me_wait_for(&me_of_next);
        if (layer->buffers > 2)
            me_wait_for(&me_of_tile[0]);
        if (number > 0)
            me_wait_for(&me_of_layer[number & 15]);
    }
    for (int32_t t = 0; t < tiles; t++) {
        if (t > 0 || !layer->back_to_back)
            me_barrier_all();
        me_timeline_tile(layer, t);
        me_between_tiles(layer, tiles, t);
        if (layer->nine_cores)
            me_call(layer->compute, tiles, t);
        me_wait_for(&me_of_next);
        if (layer->buffers > 2 && t + 1 < tiles)
            me_wait_for(&me_of_tile[(t + 1) & 15]);
        me_next_tile_is_loaded();
    }
    if (layer[1].back_to_back)
        me_wait_for(&me_of_layer[(number + 1) & 15]);
    me_barrier_all();
    if (layer->store.once)
        me_call(layer->store, tiles, tiles - 1);
    me_wait_for(&me_of_next);
}

/* Whether this core is the control core of the network; exactly one is. */
static inline int me_controls_run(void) { return me_core() == ME_CONTROL_CORE; }

ME_OF_A_LAYER void me_run_layer(const me_layer *layer, int32_t number)
{
    if (me_core() == ME_CONTROL_CORE)
        me_move_layer(layer, number);
    else
        me_compute_layer(layer, number);
}

/* The control core records the time at the end of a layer. */
static inline void me_layer_ends(int32_t layer)
{
    if (me_core() == ME_CONTROL_CORE)
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

static inline void me_tiles_begin(const me_layer *first, const void *const in[], void *const out[])
{
    me_in = in;
    me_out = out;
    me_transfers_begin();
    me_begin_layer(first);
}

static inline void me_tiles_end(void) { me_timeline_step(); }

static inline void me_start_for_layer(int32_t layer) { (void)layer; }

static inline void me_start_for_tile(int32_t t) { (void)t; }

static inline void me_start_for_next(void) {}

static inline int me_controls_run(void) { return 1; }

static inline void me_run_layer(const me_layer *layer, int32_t number)
{
    const int32_t tiles = layer->tiles;
    (void)number;
    me_timeline_step();
    if (layer->load.once)
        me_call(layer->load, tiles, 0);
    for (int32_t t = 0; t < tiles; t++) {
        me_timeline_tile(layer, t);
        me_between_tiles(layer, tiles, t);
        me_call(layer->compute, tiles, t);
    }
    if (layer->store.once)
        me_call(layer->store, tiles, tiles - 1);
}

static inline void me_layer_ends(int32_t layer) { (void)layer; }

#endif

static inline void me_fetch_all(const me_transfer *first, const me_transfer *end, int8_t *l1,
                                const int8_t *l2)
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
