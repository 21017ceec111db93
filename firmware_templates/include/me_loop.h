/* SPDX-License-Identifier: Apache-2.0
 * Layers that run for every step of a loop, one step after another. A network with loops includes this file
 * after me_tiles.h.
 */
#ifndef ME_LOOP_H
#define ME_LOOP_H

#include <stdint.h>

/* Runs layers first .. last `steps` times; no data is prefetched for them before the first one starts.
 * load   starts the transfers of constants that stay in L1 for all steps; 0: there are none */
typedef struct {
    int32_t first, last, steps;
    void (*load)(void);
} me_loop;

#ifdef ME_GAP9

/* The current step of the loop, per core: cores finish a step one after another. */
static int32_t me_turns[ME_CORES] ME_L1;
#define ME_TURN me_turns[me_core()]

/* Cycles of each layer, summed over the steps, and the end of the layer before. */
static uint32_t me_spent[ME_LAYERS + 1], me_since;

static inline void me_loops_begin(void)
{
    ME_TURN = 0;
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

/* Marks are set as if all steps of a layer had run before the next layer. */
static inline void me_loops_end(int32_t layers)
{
    if (me_core() != ME_CONTROL_CORE)
        return;
    for (int32_t i = 0; i < layers; i++)
        me_marks[i + 1] = me_marks[i] + me_spent[i];
}

/* Writes the arguments of a step's first tile, while the control core loads it. */
static inline void me_first_arguments_of_step(const me_layer *layer)
{
    if (me_core() == 0)
        me_begin_layer(layer);
    if (layer->kernel_waits && me_core() != ME_CONTROL_CORE)
        me_barrier_workers();
}

static inline void me_load_of_loop(const me_loop *loop)
{
    if (me_core() != ME_CONTROL_CORE)
        return;
    loop->load();
    me_wait_for(&me_of_next);
}

#else

static int32_t me_turns[1];
#define ME_TURN me_turns[0]

static inline void me_loops_begin(void) { ME_TURN = 0; }

static inline void me_loop_layer_ends(int32_t layer) { (void)layer; }

static inline void me_loops_end(int32_t layers) { (void)layers; }

static inline void me_first_arguments_of_step(const me_layer *layer) { me_begin_layer(layer); }

static inline void me_load_of_loop(const me_loop *loop) { loop->load(); }

#endif

/* Before a layer: in the first step of a loop, the control core loads the constants that stay in L1, and
 * keeps the state of the transfers from L3, which each step repeats. */
static inline void me_loop_begins(int32_t layer, const me_loop *loops, int32_t count)
{
    for (const me_loop *loop = loops; loop < loops + count; loop++) {
        if (loop->first != layer || ME_TURN != 0)
            continue;
        if (me_is_steering())
            me_l3_loop_begins();
        if (loop->load)
            me_load_of_loop(loop);
    }
}

/* -> the layer that precedes the next one: this one, or after the last layer of a step the one before the
 * loop */
static inline int32_t me_loop_ends(int32_t layer, const me_layer *layers, const me_loop *loops, int32_t count)
{
    for (const me_loop *loop = loops; loop < loops + count; loop++) {
        if (loop->last != layer)
            continue;
        if (++ME_TURN < loop->steps) {
            if (me_is_steering())
                me_l3_loop_again();
            me_first_arguments_of_step(&layers[loop->first]);
            return loop->first - 1;
        }
        ME_TURN = 0;
    }
    return layer;
}

#endif
