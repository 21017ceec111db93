/* SPDX-License-Identifier: Apache-2.0
 * Transfers between L3 and L2, one behind the other in the order of the plan. The control core counts
 * timeline steps: one before each layer, and one with each of its tiles. For each of them the plan says
 * how many transfers may have been started, and how many must have ended.
 */
#ifndef ME_L3_TRANSFERS_H
#define ME_L3_TRANSFERS_H

#include <stdint.h>

#include "me_share.h"

/* Constants are in l3.bin; feature maps follow it in L3. */
typedef enum { ME_CONSTANT, ME_MAP_IN, ME_MAP_OUT } me_l3_kind;

/* l3: offset in L3, which begins with l3.bin */
typedef struct {
    uint32_t l3;
    int8_t *l2;
    uint32_t bytes;
    me_l3_kind kind;
} me_l3_transfer;

/* Schedule entry: from this timeline step on, at most `started` transfers may have been started and at least
 * `ended` must have ended. The last entry is a sentinel whose step is never reached. */
typedef struct {
    int32_t step;
    uint32_t started, ended;
} me_l3_limit;

extern const me_l3_transfer me_l3_transfers[];
extern const me_l3_limit me_l3_limits[];

/* State of a run, used only by the control core. */
typedef struct {
    const me_l3_limit *limit;
    int32_t step;
    uint32_t allowed, started, ended, ticket;
} me_l3_state;

#ifdef ME_GAP9

static me_l3_state me_l3_run ME_L1;

/* Starts the transfers that are due, until the queue is full. */
static void me_l3_start_allowed(void)
{
    for (; me_l3_run.started < me_l3_run.allowed && !me_l3_full(); me_l3_run.started++) {
        const me_l3_transfer *x = &me_l3_transfers[me_l3_run.started];
        me_l3_run.ticket =
            me_l3_start(x->l3, x->l2, x->bytes, x->kind == ME_MAP_OUT ? ME_L2_TO_L3 : ME_L3_TO_L2);
    }
}

/* Returns when the first n transfers have ended. */
static void me_l3_finish(uint32_t n)
{
    while (me_l3_run.started < n)
        me_l3_start_allowed();
    me_l3_wait(me_l3_run.ticket - (me_l3_run.started - n));
}

/* Waits for a transfer that may not have been started yet. */
static void me_l3_apply(uint32_t ended)
{
    me_l3_start_allowed();
    if (ended)
        me_l3_finish(ended);
}

#else

static me_l3_state me_l3_run;

extern int8_t me_maps[];

/* The chip may transfer the bytes from here on. The host poisons the destination in L2, so that a layer
 * that still reads it computes wrong results. */
static void me_l3_start_allowed(void)
{
    for (; me_l3_run.started < me_l3_run.allowed; me_l3_run.started++) {
        const me_l3_transfer *x = &me_l3_transfers[me_l3_run.started];
        for (uint32_t i = 0; i < x->bytes; i++) {
            if (x->kind == ME_MAP_OUT)
                me_maps[x->l3 - ME_L3_BYTES + i] = x->l2[i];
            else
                x->l2[i] = 0x55;
        }
    }
}

/* Poisons bytes in L3 whose source in L2 changed after the chip may have transferred them. */
static void me_l3_arrive(const me_l3_transfer *x)
{
    for (uint32_t i = 0; i < x->bytes; i++) {
        if (x->kind == ME_CONSTANT)
            x->l2[i] = ((const int8_t *)me_l3)[x->l3 + i];
        else if (x->kind == ME_MAP_IN)
            x->l2[i] = me_maps[x->l3 - ME_L3_BYTES + i];
        else if (me_maps[x->l3 - ME_L3_BYTES + i] != x->l2[i])
            me_maps[x->l3 - ME_L3_BYTES + i] = 0x55;
    }
}

/* On a host, the bytes are copied when the transfer is awaited. */
static void me_l3_finish(uint32_t n)
{
    for (; me_l3_run.ended < n; me_l3_run.ended++) {
        if (me_l3_run.started == me_l3_run.ended) {
            me_l3_run.allowed = me_l3_run.ended + 1;
            me_l3_start_allowed();
        }
        me_l3_arrive(&me_l3_transfers[me_l3_run.ended]);
    }
}

/* Starts later transfers of the queue, as the chip does. */
static void me_l3_apply(uint32_t ended)
{
    const uint32_t allowed = me_l3_run.allowed;
    me_l3_finish(ended);
    me_l3_run.allowed = allowed;
    me_l3_start_allowed();
}

#endif

/* State at the start of the loop that is running. */
static me_l3_state me_l3_loop ME_L1;

static inline void me_l3_loop_begins(void) { me_l3_loop = me_l3_run; }

/* Called before the next iteration of a loop: all transfers of its body have ended and are scheduled
 * again. */
static inline void me_l3_loop_again(void)
{
    const uint32_t ticket = me_l3_run.ticket;
    me_l3_run = me_l3_loop;
    me_l3_run.ticket = ticket;
}

static void me_l3_begin(void) { me_l3_run = (me_l3_state){ .limit = me_l3_limits }; }

static void me_timeline_step(void)
{
    const me_l3_limit *limit = me_l3_run.limit;
    if (me_l3_run.step++ == limit->step) {
        me_l3_run.limit = limit + 1;
        me_l3_run.allowed = limit->started;
        me_l3_apply(limit->ended);
    } else {
        me_l3_start_allowed();
    }
}

#endif
