/* SPDX-License-Identifier: Apache-2.0 */
#include "mram.h"

#include "cluster.h"
#include "host.h"
#include "library/me_crc32.h"
#include "library/me_weights.h"
#include "me_mram.h"
#include "mram_map.h"
#include "platform.h"

#define IMAGE_AT (ME_MRAM_WEIGHTS_AT + ME_WEIGHTS_HEAD_BYTES)

typedef struct {
    uint32_t at, l2, bytes;
} reading;

/* asked, done: numbers of requested and finished reads; those in between are in slots, by number. */
static volatile struct {
    uint32_t asked, done;
} queue ME_L1;
static volatile reading slots[ME_MRAM_IN_FLIGHT];
static bool is_reading;
static int32_t result = ME_OK;

static bool on_fabric_controller(void) { return me_core() >= ME_CORES; }

static void serve_while_waiting(void)
{
    if (on_fabric_controller()) {
        me_mram_take_events();
        me_mram_serve();
    }
}

bool me_mram_full(void) { return queue.asked - queue.done >= ME_MRAM_IN_FLIGHT; }

uint32_t me_mram_start(uint32_t mram, void *l2, uint32_t bytes)
{
    while (me_mram_full())
        serve_while_waiting();
    volatile reading *slot = &slots[queue.asked % ME_MRAM_IN_FLIGHT];
    slot->at = IMAGE_AT + mram;
    slot->l2 = (uint32_t)(uintptr_t)l2;
    slot->bytes = bytes;
    __asm__ volatile("" ::: "memory");
    const uint32_t ticket = queue.asked + 1;
    queue.asked = ticket;
    if (on_fabric_controller())
        me_mram_serve();
    else
        ME_REG(me_here.itc + ME_ITC_STATUS_SET) = ME_WAKE;
    return ticket;
}

void me_mram_wait(uint32_t ticket)
{
    while ((int32_t)(queue.done - ticket) < 0)
        serve_while_waiting();
    __asm__ volatile("" ::: "memory");
}

int32_t me_mram_result(void)
{
    const int32_t found = result;
    result = ME_OK;
    return found;
}

void me_mram_forget(void)
{
    queue.asked = queue.done = 0;
    is_reading = false;
}

void me_mram_serve(void)
{
    if (is_reading) {
        if (!me_mram_has_read())
            return;
        if (me_mram_read_result() != ME_OK)
            result = ME_DAMAGED;
        is_reading = false;
        queue.done = queue.done + 1;
    }
    if (queue.done != queue.asked) {
        const volatile reading *slot = &slots[queue.done % ME_MRAM_IN_FLIGHT];
        me_mram_begin_read(slot->at, slot->l2, slot->bytes);
        is_reading = true;
    }
}

static _Alignas(4) uint8_t chunk[4096] ME_NOINIT; /* whole words of the flash */

/* Reads the next bytes of a file, and fills up the last word. -> whether there are as many */
static bool read_chunk(int32_t file, uint32_t bytes)
{
    for (uint32_t i = bytes; i % me_mram.page_bytes != 0; i++)
        chunk[i] = 0xFFu;
    return me_read(file, chunk, bytes) == bytes;
}

/* What is done with a file's bytes from this offset on. -> whether that succeeded */
typedef bool (*use)(uint32_t at, uint32_t bytes, uint32_t *crc);

static bool add_to_crc(uint32_t at, uint32_t bytes, uint32_t *crc)
{
    (void)at;
    *crc = me_crc32(*crc, chunk, bytes);
    return true;
}

static bool program(uint32_t at, uint32_t bytes, uint32_t *crc)
{
    (void)crc;
    const uint32_t whole = (bytes + me_mram.page_bytes - 1u) / me_mram.page_bytes * me_mram.page_bytes;
    return me_mram.program(IMAGE_AT + at, chunk, whole) == ME_OK;
}

static bool for_each_chunk(const char *name, uint32_t bytes, use done, uint32_t *crc)
{
    const int32_t file = me_open(name, ME_READ);
    bool succeeds = file >= 0;
    for (uint32_t at = 0, part; succeeds && at < bytes; at += part) {
        part = bytes - at < sizeof chunk ? bytes - at : (uint32_t)sizeof chunk;
        succeeds = read_chunk(file, part) && done(at, part, crc);
    }
    if (file >= 0)
        me_close(file);
    return succeeds;
}

bool me_mram_load(const char *file, uint32_t bytes)
{
    uint32_t crc = 0;
    me_mram_forget();
    if (bytes > ME_MRAM_WEIGHTS_BYTES - ME_WEIGHTS_HEAD_BYTES || me_mram_open() != ME_OK)
        return false;
    if (!for_each_chunk(file, bytes, add_to_crc, &crc))
        return false;
    if (me_weights_find(&me_mram, ME_MRAM_WEIGHTS_AT, bytes, crc) == ME_OK)
        return true;
    return me_weights_erase(&me_mram, ME_MRAM_WEIGHTS_AT, bytes) == ME_OK
        && for_each_chunk(file, bytes, program, &crc)
        && me_weights_commit(&me_mram, ME_MRAM_WEIGHTS_AT, bytes, crc) == ME_OK;
}
