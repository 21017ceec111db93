/* SPDX-License-Identifier: Apache-2.0
 * Transfers between memory levels and L2. Transfers of one level run one after another, in the order of the
 * plan, and in parallel with those of other levels. The control core counts timeline steps: one before each
 * layer, and one per tile. For each timeline step, the plan specifies how many transfers of a level may
 * have been started and how many must have ended.
 */
#ifndef ME_LEVEL_TRANSFERS_H
#define ME_LEVEL_TRANSFERS_H

#include <stdint.h>

#include "me_share.h"

/* Constants are in the image of a level, such as l3.bin; feature maps follow l3.bin in L3. */
typedef enum { ME_CONSTANT, ME_MAP_IN, ME_MAP_OUT } me_transfer_kind;

/* address: offset in the level, which begins with its image */
typedef struct {
    uint32_t address;
    int8_t *l2;
    uint32_t bytes;
    me_transfer_kind kind;
} me_level_transfer;

/* Schedule entry: from this timeline step on, at most `started` transfers may have been started and at least
 * `ended` must have ended. The last entry is a sentinel whose step is never reached. */
typedef struct {
    int32_t step;
    uint32_t started, ended;
} me_level_limit;

/* A memory level.
 * start   starts a transfer -> its ticket; full: whether start would have to wait
 * wait    returns when the transfer of this ticket, and so every earlier one, has ended
 * host    on a host, the offset of the level's image in the array <prefix>_l3 */
typedef struct {
    const me_level_transfer *transfers;
    const me_level_limit *limits;
#ifdef ME_GAP9
    uint32_t (*start)(const me_level_transfer *x);
    bool (*full)(void);
    void (*wait)(uint32_t ticket);
#else
    uint32_t host;
#endif
} me_level;

/* State of a level in a run, used only by the control core. */
typedef struct {
    const me_level_limit *limit;
    uint32_t allowed, started, ended, ticket;
} me_level_state;

/* The network defines ME_LEVELS, and its levels before it includes this file's functions. */
static const me_level me_levels[ME_LEVELS];

typedef struct {
    int32_t step;
    me_level_state of[ME_LEVELS];
} me_transfers_state;

static me_transfers_state me_transfers_run ME_L1;

#ifdef ME_GAP9

/* Starts the transfers of a level that are due, until its queue is full. */
static void me_start_allowed(int32_t level)
{
    me_level_state *run = &me_transfers_run.of[level];
    for (; run->started < run->allowed && !me_levels[level].full(); run->started++)
        run->ticket = me_levels[level].start(&me_levels[level].transfers[run->started]);
}

/* Returns when the first n transfers of a level have ended. */
static void me_finish_transfers(int32_t level, uint32_t n)
{
    const me_level_state *run = &me_transfers_run.of[level];
    while (run->started < n)
        me_start_allowed(level);
    me_levels[level].wait(run->ticket - (run->started - n));
}

/* Waits for a transfer that may not have been started yet. */
static void me_apply_limit(int32_t level, uint32_t ended)
{
    me_start_allowed(level);
    if (ended)
        me_finish_transfers(level, ended);
}

#else

extern int8_t me_maps[];

/* The chip may transfer the bytes from here on. The host poisons the destination in L2, so that a layer
 * that still reads it computes wrong results. */
static void me_start_allowed(int32_t level)
{
    me_level_state *run = &me_transfers_run.of[level];
    for (; run->started < run->allowed; run->started++) {
        const me_level_transfer *x = &me_levels[level].transfers[run->started];
        for (uint32_t i = 0; i < x->bytes; i++) {
            if (x->kind == ME_MAP_OUT)
                me_maps[x->address - ME_L3_BYTES + i] = x->l2[i];
            else
                x->l2[i] = 0x55;
        }
    }
}

/* Poisons bytes in L3 whose source in L2 changed after the chip may have transferred them.
 * image   of the level */
static void me_arrive(const me_level_transfer *x, const int8_t *image)
{
    for (uint32_t i = 0; i < x->bytes; i++) {
        if (x->kind == ME_CONSTANT)
            x->l2[i] = image[x->address + i];
        else if (x->kind == ME_MAP_IN)
            x->l2[i] = me_maps[x->address - ME_L3_BYTES + i];
        else if (me_maps[x->address - ME_L3_BYTES + i] != x->l2[i])
            me_maps[x->address - ME_L3_BYTES + i] = 0x55;
    }
}

/* On a host, the bytes are copied when the transfer is awaited. */
static void me_finish_transfers(int32_t level, uint32_t n)
{
    me_level_state *run = &me_transfers_run.of[level];
    for (; run->ended < n; run->ended++) {
        if (run->started == run->ended) {
            run->allowed = run->ended + 1;
            me_start_allowed(level);
        }
        me_arrive(&me_levels[level].transfers[run->ended], (const int8_t *)me_l3 + me_levels[level].host);
    }
}

/* Starts later transfers of the queue, as the chip does. */
static void me_apply_limit(int32_t level, uint32_t ended)
{
    me_level_state *run = &me_transfers_run.of[level];
    const uint32_t allowed = run->allowed;
    me_finish_transfers(level, ended);
    run->allowed = allowed;
    me_start_allowed(level);
}

#endif

/* State at the start of the loop that is running. */
static me_transfers_state me_transfers_loop ME_L1;

static inline void me_transfers_loop_begins(void) { me_transfers_loop = me_transfers_run; }

static inline uint32_t me_fewer_transfers(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Called before the next iteration of a loop: all transfers of its body have ended and are scheduled
 * again; others, which may have been started before the loop, go on. */
static inline void me_transfers_loop_again(void)
{
    me_transfers_run.step = me_transfers_loop.step;
    for (int32_t level = 0; level < ME_LEVELS; level++) {
        const me_level_state *before = &me_transfers_loop.of[level];
        me_level_state *run = &me_transfers_run.of[level];
        run->limit = before->limit;
        run->allowed = before->allowed;
        run->started = me_fewer_transfers(run->started, before->allowed);
        run->ended = me_fewer_transfers(run->ended, before->allowed);
    }
}

static void me_transfers_begin(void)
{
    me_transfers_run = (me_transfers_state){ 0 };
    for (int32_t level = 0; level < ME_LEVELS; level++)
        me_transfers_run.of[level].limit = me_levels[level].limits;
}

static void me_timeline_step(void)
{
    const int32_t step = me_transfers_run.step++;
    for (int32_t level = 0; level < ME_LEVELS; level++) {
        me_level_state *run = &me_transfers_run.of[level];
        const me_level_limit *limit = run->limit;
        if (step == limit->step) {
            run->limit = limit + 1;
            run->allowed = limit->started;
            me_apply_limit(level, limit->ended);
        } else {
            me_start_allowed(level);
        }
    }
}

#endif
