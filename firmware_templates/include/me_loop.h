/* SPDX-License-Identifier: Apache-2.0
 * Layers that run in every iteration of a loop. A network with loops includes this file after me_tiles.h.
 */
#ifndef ME_LOOP_H
#define ME_LOOP_H

#include <stdint.h>

#ifdef ME_GAP9

/* The current iteration of the loop, per core: cores finish an iteration one after another. */
static int32_t me_iterations[ME_CORES] ME_L1;
#define ME_ITERATION me_iterations[me_core()]

/* Cycles of each layer, summed over the iterations; end time of the layer before. */
static uint32_t me_spent[ME_LAYERS + 1] ME_L1, me_since ME_L1;

static inline void me_loops_begin(void)
{
    ME_ITERATION = 0;
    if (me_core() != ME_CONTROL_CORE)
        return;
    me_since = me_marks[0];
    for (int32_t i = 0; i <= ME_LAYERS; i++)
        me_spent[i] = 0;
}

static inline void me_loop_layer_ends(int32_t layer)
{
    if (me_core() != ME_CONTROL_CORE)
        return;
    me_mark(layer);
    const uint32_t now = me_marks[layer + 1];
    me_spent[layer] += now - me_since;
    me_since = now;
}

/* Sets the marks as if each layer had run all its iterations before the next layer. */
static inline void me_loops_end(int32_t layers)
{
    if (me_core() != ME_CONTROL_CORE)
        return;
    for (int32_t i = 0; i < layers; i++)
        me_marks[i + 1] = me_marks[i] + me_spent[i];
}

/* Writes the arguments of the first tile of an iteration, or of the layer after the loop, while the control core
 * loads the tile. */
static inline void me_next_arguments(const me_layer *layer)
{
    if (me_core() == (me_has_jobs(layer) ? ME_CONTROL_CORE : 0))
        me_begin_layer(layer);
    if (layer->kernel_waits && me_core() != ME_CONTROL_CORE)
        me_barrier_workers();
}

/* The control core runs `before`. The barrier is needed by kernels that start before their operands have
 * been loaded and read their arguments at once, and by a first layer that has no barrier of its own. */
static inline void me_before_loop(void (*before)(void))
{
    if (me_core() == ME_CONTROL_CORE) {
        before();
        me_wait_for_all();
    }
    me_barrier_all();
}

static inline void me_after_loop(void (*after)(void))
{
    if (me_core() == ME_CONTROL_CORE) {
        after();
        me_wait_for_all();
    }
}

#else

static int32_t me_iterations[1];
#define ME_ITERATION me_iterations[0]

static inline void me_loops_begin(void) { ME_ITERATION = 0; }

static inline void me_loop_layer_ends(int32_t layer) { (void)layer; }

static inline void me_loops_end(int32_t layers) { (void)layers; }

static inline void me_next_arguments(const me_layer *layer) { me_begin_layer(layer); }

static inline void me_before_loop(void (*before)(void)) { before(); }

static inline void me_after_loop(void (*after)(void)) { after(); }

#endif

/* Defines <layer>_op and <layer>_tile at address `at` in L1, for a kernel call with the same arguments in
 * every iteration: they are written once, before the loop. The other layers share me_op and me_tile. */
#ifdef ME_GAP9
#define ME_OWN_ARGUMENTS(kernel, layer, at) \
    static kernel##_params *const layer##_op = (void *)(at); \
    static kernel##_tile *const layer##_tile = (void *)((at) + sizeof(kernel##_params)); \
    _Static_assert(sizeof(kernel##_params) + sizeof(kernel##_tile) <= 384, "size of arguments: " #kernel)
#else
#define ME_OWN_ARGUMENTS(kernel, layer, at) \
    static kernel##_params layer##_op[1]; \
    static kernel##_tile layer##_tile[1]
#endif

/* Before a loop; me_next_iteration counts from -1. The control core keeps the state of transfers from L3, if
 * there are any, because each iteration repeats them.
 * before   starts the transfers of data that stay in L1 for all iterations, and writes arguments of kernel
 *          calls that do not depend on the iteration; 0: there are none */
static inline void me_loop_begins(void (*before)(void))
{
    ME_ITERATION = -1;
    if (me_controls_run())
        me_transfers_loop_begins();
    if (before)
        me_before_loop(before);
}

/* After a loop.
 * next    the layer after the loop, whose arguments are written
 * after   stores the states that later layers read; 0: there are none */
static inline void me_loop_ends(const me_layer *next, void (*after)(void))
{
    if (after)
        me_after_loop(after);
    me_next_arguments(next);
}

/* -> whether there is another iteration. If so, the arguments of its first layer are written.
 * first   the loop's first layer */
static inline int me_next_iteration(const me_layer *first, int32_t iterations)
{
    if (++ME_ITERATION == iterations) {
        ME_ITERATION = 0;
        return 0;
    }
    if (ME_ITERATION > 0) {
        if (me_controls_run())
            me_transfers_loop_again();
        me_next_arguments(first);
    }
    return 1;
}

#endif
