/* SPDX-License-Identifier: Apache-2.0 */
#include "l3.h"

#include "cluster.h"
#include "host.h"
#include "l3_drivers.h"
#include "platform.h"

#define LARGEST 65536u /* maximum bytes per uDMA request */

typedef struct {
    uint32_t l3, l2, bytes;
    me_l3_direction direction;
} transfer;

/* asked, done: numbers of requested and finished transfers; those in between are in slots, by number. */
static volatile struct {
    uint32_t asked, done;
} queue ME_L1;
static volatile transfer slots[ME_L3_IN_FLIGHT];

/* Bytes of the oldest queued transfer that have been handed to the uDMA; 0 if it has not started. */
static uint32_t handed_over;

static bool on_fabric_controller(void) { return me_core() >= ME_CORES; }

static void serve_while_waiting(void)
{
    if (on_fabric_controller())
        me_l3_serve();
}

bool me_l3_full(void) { return queue.asked - queue.done >= ME_L3_IN_FLIGHT; }

uint32_t me_l3_start(uint32_t l3, void *l2, uint32_t bytes, me_l3_direction direction)
{
    while (me_l3_full())
        serve_while_waiting();
    volatile transfer *slot = &slots[queue.asked % ME_L3_IN_FLIGHT];
    slot->l3 = l3;
    slot->l2 = (uint32_t)(uintptr_t)l2;
    slot->bytes = bytes;
    slot->direction = direction;
    __asm__ volatile("" ::: "memory");
    const uint32_t ticket = queue.asked + 1;
    queue.asked = ticket;
    if (on_fabric_controller())
        me_l3_serve();
    else
        ME_REG(me_here.itc + ME_ITC_STATUS_SET) = ME_WAKE;
    return ticket;
}

void me_l3_wait(uint32_t ticket)
{
    while ((int32_t)(queue.done - ticket) < 0)
        serve_while_waiting();
    __asm__ volatile("" ::: "memory");
}

void me_l3_store(uint32_t l3, void *l2, uint32_t bytes)
{
    me_l3_wait(me_l3_start(l3, l2, bytes, ME_L2_TO_L3));
}

void me_l3_fetch(uint32_t l3, void *l2, uint32_t bytes)
{
    me_l3_wait(me_l3_start(l3, l2, bytes, ME_L3_TO_L2));
}

void me_l3_open(void)
{
    queue.asked = queue.done = 0;
    handed_over = 0;
    (me_here.gap9 ? me_l3_v4_open : me_l3_v3_open)();
}

bool me_l3_needs_polling(void) { return handed_over > 0 && !me_here.gap9; }

static void start_next_part(void)
{
    const volatile transfer *slot = &slots[queue.done % ME_L3_IN_FLIGHT];
    const uint32_t left = slot->bytes - handed_over;
    const uint32_t bytes = left < LARGEST ? left : LARGEST;
    (me_here.gap9 ? me_l3_v4_begin : me_l3_v3_begin)(slot->l3 + handed_over, slot->l2 + handed_over, bytes,
                                                     slot->direction == ME_L3_TO_L2);
    handed_over += bytes;
}

void me_l3_serve(void)
{
    if (handed_over > 0) {
        if (me_here.gap9 ? me_l3_v4_busy() : me_l3_v3_busy())
            return;
        if (handed_over == slots[queue.done % ME_L3_IN_FLIGHT].bytes) {
            handed_over = 0;
            queue.done = queue.done + 1;
        }
    }
    if (queue.done != queue.asked)
        start_next_part();
}

static _Alignas(4) uint8_t chunk[4096] ME_NOINIT;

static uint32_t chunk_part(uint32_t left) { return left < sizeof chunk ? left : (uint32_t)sizeof chunk; }

uint32_t me_l3_read(int32_t file, uint32_t l3, uint32_t bytes)
{
    uint32_t at = 0, found = 1;
    for (; at < bytes && found > 0; at += found) {
        found = me_read(file, chunk, chunk_part(bytes - at));
        if (found > 0)
            me_l3_wait(me_l3_start(l3 + at, chunk, found, ME_L2_TO_L3));
    }
    return at;
}

uint32_t me_l3_write(int32_t file, uint32_t l3, uint32_t bytes)
{
    uint32_t at = 0, written = 1;
    for (; at < bytes && written > 0; at += written) {
        me_l3_wait(me_l3_start(l3 + at, chunk, chunk_part(bytes - at), ME_L3_TO_L2));
        written = me_write(file, chunk, chunk_part(bytes - at));
    }
    return at;
}

bool me_l3_load(const char *file, uint32_t bytes)
{
    const int32_t handle = me_open(file, ME_READ);
    const uint32_t found = handle < 0 ? 0 : me_l3_read(handle, 0, bytes);
    if (handle >= 0)
        me_close(handle);
    return handle >= 0 && found == bytes;
}
