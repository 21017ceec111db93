/* SPDX-License-Identifier: Apache-2.0
 * What does not stay in L2 comes from L3 in hauls, one behind the other in the order of the plan.
 * The core that steers counts moments: one before each layer, and one with each of its tiles. In
 * each of them the plan says how many hauls may have been started, and how many must have ended.
 */
#ifndef ME_HAULS_H
#define ME_HAULS_H

#include <stdint.h>

#include "me_share.h"

/* constants come from l3.bin; feature maps lie behind it */
typedef enum { ME_CONSTANT, ME_MAP_IN, ME_MAP_OUT } me_haul_kind;

/* l3: offset in L3, which l3.bin is the start of */
typedef struct {
    uint32_t l3;
    int8_t *l2;
    uint32_t bytes;
    me_haul_kind kind;
} me_haul;

/* From this moment on. The last one never comes. */
typedef struct {
    int32_t moment;
    uint32_t started, ended;
} me_haul_turn;

extern const me_haul me_hauls[];
extern const me_haul_turn me_haul_turns[];

/* Of the run at hand; only the core that steers knows it. */
typedef struct {
    const me_haul_turn *turn;
    int32_t moment;
    uint32_t allowed, started, ended, ticket;
} me_haul_state;

#ifdef ME_GAP9

static me_haul_state me_hauling ME_L1;

/* Starts those that may be, as far as the queue takes them. */
static void me_hauls_go(void)
{
    for (; me_hauling.started < me_hauling.allowed && !me_l3_full(); me_hauling.started++) {
        const me_haul *haul = &me_hauls[me_hauling.started];
        me_hauling.ticket = me_l3_start(haul->l3, haul->l2, haul->bytes,
                                         haul->kind == ME_MAP_OUT ? ME_L2_TO_L3 : ME_L3_TO_L2);
    }
}

/* Returns when the first n have ended. */
static void me_hauls_end(uint32_t n)
{
    while (me_hauling.started < n)
        me_hauls_go();
    me_l3_wait(me_hauling.ticket - (me_hauling.started - n));
}

/* A haul that is needed now may have to be started first. */
static void me_hauls_turn(uint32_t ended)
{
    me_hauls_go();
    if (ended)
        me_hauls_end(ended);
}

#else

static me_haul_state me_hauling;

extern int8_t me_maps[];

/* The chip may move bytes from here on. Into L2: whatever is still needed of its place is lost. */
static void me_hauls_go(void)
{
    for (; me_hauling.started < me_hauling.allowed; me_hauling.started++) {
        const me_haul *haul = &me_hauls[me_hauling.started];
        for (uint32_t i = 0; i < haul->bytes; i++) {
            if (haul->kind == ME_MAP_OUT)
                me_maps[haul->l3 - ME_L3_BYTES + i] = haul->l2[i];
            else
                haul->l2[i] = 0x55;
        }
    }
}

/* To L3: what changed in L2 since the chip may have moved it is neither the old nor the new. */
static void me_haul_ends(const me_haul *haul)
{
    for (uint32_t i = 0; i < haul->bytes; i++) {
        if (haul->kind == ME_CONSTANT)
            haul->l2[i] = ((const int8_t *)me_l3)[haul->l3 + i];
        else if (haul->kind == ME_MAP_IN)
            haul->l2[i] = me_maps[haul->l3 - ME_L3_BYTES + i];
        else if (me_maps[haul->l3 - ME_L3_BYTES + i] != haul->l2[i])
            me_maps[haul->l3 - ME_L3_BYTES + i] = 0x55;
    }
}

/* Nothing is there before somebody has waited for it. */
static void me_hauls_end(uint32_t n)
{
    for (; me_hauling.ended < n; me_hauling.ended++) {
        if (me_hauling.started == me_hauling.ended) {
            me_hauling.allowed = me_hauling.ended + 1;
            me_hauls_go();
        }
        me_haul_ends(&me_hauls[me_hauling.ended]);
    }
}

/* On the chip what is behind in the queue moves last: here too. */
static void me_hauls_turn(uint32_t ended)
{
    const uint32_t allowed = me_hauling.allowed;
    me_hauls_end(ended);
    me_hauling.allowed = allowed;
    me_hauls_go();
}

#endif

static void me_hauls_begin(void)
{
    me_hauling = (me_haul_state){ .turn = me_haul_turns };
}

static void me_moment(void)
{
    const me_haul_turn *turn = me_hauling.turn;
    if (me_hauling.moment++ == turn->moment) {
        me_hauling.turn = turn + 1;
        me_hauling.allowed = turn->started;
        me_hauls_turn(turn->ended);
    } else {
        me_hauls_go();
    }
}

#endif
