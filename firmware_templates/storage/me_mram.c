/* SPDX-License-Identifier: Apache-2.0 */
#include "me_mram.h"

#include "clock.h"
#include "platform.h"
#include "registers.h"

#define PAGE_BYTES 16u
#define ROW_BYTES 2048u /* an operation does not cross the end of a row */

/* The flash's clock: that of SDK 5, of the boards' descriptions too ([flash.mram] clock_hz) */
#ifndef ME_MRAM_HZ
#define ME_MRAM_HZ 30000000u
#endif
#define DIVIDER ((ME_PERIPH_HZ + ME_MRAM_HZ - 1u) / ME_MRAM_HZ)
_Static_assert(DIVIDER > 0 && DIVIDER < 256, "the divider has 8 bits");

#define CHANNEL (1u << 21)
#define CLOCK_SET (ME_UDMA + 0x04u)
#define RESET_SET (ME_UDMA + 0x10u)
#define RX_CHANNEL 2u /* the uDMA's linear channels; 0 and 1 belong to the external memory */
#define TX_CHANNEL 3u

#define BASE 0x1A102B00u
#define RX (BASE + 0x00u)
#define TX (BASE + 0x04u)
#define TRANSFERS (BASE + 0x08u) /* bit 0: the device configures its uDMA channel itself */
#define L2 (BASE + 0x0Cu)
#define BYTES (BASE + 0x10u)
#define GO (BASE + 0x14u) /* bit 0: into L2, bit 1: go */
#define ADDRESS (BASE + 0x18u)
#define STATUS (BASE + 0x1Cu)
#define NOT_CORRECTED (1u << 4) /* the last read had an error that ECC does not correct */
#define MODE (BASE + 0x20u)
#define ERASE_ADDRESS (BASE + 0x24u)
#define CLOCK (BASE + 0x2Cu)
#define ENABLE (BASE + 0x34u) /* one bit per kind of event */

#define OPERATIONS 0xFF00u
#define TRIM 0x0100u
#define PROGRAM 0x0200u
#define ERASE_SECTOR 0x0800u
#define READ 0x4000u
#define POWER (1u << 7)
#define RETENTION (1u << 6)
#define RUNNING (1u << 5)
#define MAPPED 0x1D000000u /* prefix of addresses for erase operations */
#define TRIM_WORDS 7u

/* SoC events: the interrupt line that announces them, the register from which they are read */
#define EVENT_UNMASK 0x1A106098u
#define EVENT_LINE (1u << 26)
#define ITC_EVENT 0x24u
enum { ERASED = 113, PROGRAMMED, TRIMMED, ARRIVED };

static volatile uint32_t ended; /* event that ended the last operation; 0: it is under way */

/* eFUSEs, as the boot ROM uses them: 1 has a flag, 65 the number of words for the flash, 66 is the first
 * word */
#define FUSES 0x1A10F000u
#define FUSE(n) (FUSES + 0x200u + 4u * (n))
enum { FUSES_READ = 1, FUSES_IDLE = 4 };
#define HAS_TRIM 0x800u

#define A_US 400u /* timeout in cycles; an iteration of the wait loop takes at least one */

static void pause_us(uint32_t us)
{
    for (volatile uint32_t left = us * A_US; left > 0; left--)
        ;
}

void me_mram_event(uint32_t event)
{
    if (event >= ERASED && event <= ARRIVED)
        ended = event;
}

void me_mram_take_events(void)
{
    while (ME_REG(me_here.itc + ME_ITC_STATUS) & EVENT_LINE) {
        ME_REG(me_here.itc + ME_ITC_STATUS_CLEAR) = EVENT_LINE; /* set again if events are pending */
        me_mram_event(ME_REG(me_here.itc + ITC_EVENT));
    }
}

/* Sleeps until the event that ends an operation. Polling is not possible: neither the SDK's drivers nor
 * its platform know the busy bits of STATUS. Interrupts are off, because a handler would consume the
 * event. */
static void await(uint32_t event)
{
    uint32_t status;
    __asm__ volatile("csrrci %0, mstatus, 8" : "=r"(status)::"memory");
    for (;;) {
        me_mram_take_events();
        if (ended == event)
            break;
        __asm__ volatile("wfi" ::: "memory");
    }
    __asm__ volatile("csrs mstatus, %0" ::"r"(status & 8u) : "memory");
}

static void begin(uint32_t operation, bool into_l2)
{
    ended = 0;
    ME_REG(MODE) = (ME_REG(MODE) & ~OPERATIONS) | operation;
    ME_REG(GO) = into_l2 ? 3u : 2u;
}

static int32_t run(uint32_t operation, uint32_t event)
{
    begin(operation, false);
    await(event);
    return ME_OK;
}

/* Replaces the configuration words by those that the manufacturer fused into the chip, if there are any.
 * Returns their number. */
static uint32_t apply_fuses(uint32_t words[TRIM_WORDS])
{
    uint32_t count = TRIM_WORDS;
    ME_REG(FUSES) = FUSES_READ;
    if (ME_REG(FUSE(1)) & HAS_TRIM && ME_REG(FUSE(65)) <= TRIM_WORDS) {
        count = ME_REG(FUSE(65));
        for (uint32_t n = 0; n < count; n++)
            words[n] = ME_REG(FUSE(66 + n));
    }
    ME_REG(FUSES) = FUSES_IDLE;
    return count;
}

/* Writes the configuration words: those of the SDK's driver, unless the chip has fused ones. The flash may
 * be written 20 us later. */
static void write_trim(void)
{
    static uint32_t words[TRIM_WORDS] = { 0, 0xFD798D00u, 0x620490D0u, 0x0406082Eu, 0x0580001Bu, 0, 0 };
    const uint32_t count = apply_fuses(words);
    ME_REG(L2) = (uint32_t)(uintptr_t)words;
    ME_REG(BYTES) = count * sizeof *words;
    __asm__ volatile("" ::: "memory"); /* the compiler stores the data before the transfer starts */
    run(TRIM, TRIMMED);
    pause_us(20);
}

/* Enables events of the flash for the fabric controller, and clears those that are pending. */
static void enable_events(void)
{
    for (uint32_t event = ERASED; event <= ARRIVED; event++)
        ME_REG(EVENT_UNMASK) = event;
    ME_REG(me_here.itc + ME_ITC_MASK_SET) = EVENT_LINE;
    ME_REG(ENABLE) = 0xFu;
}

int32_t me_mram_open(void)
{
    if (!me_here.gap9)
        return ME_FAILED;
    ME_REG(RESET_SET) = CHANNEL;
    ME_REG(CLOCK_SET) = CHANNEL;
    ME_REG(RX) = RX_CHANNEL;
    ME_REG(TX) = TX_CHANNEL;
    ME_REG(TRANSFERS) = 1;
    ME_REG(CLOCK) = 1u << 9 | 1u << 8 | DIVIDER; /* enables the clock with this divider */
    ME_REG(MODE) = 0;
    ME_REG(MODE) = POWER;
    ME_REG(MODE) = POWER | RETENTION;
    pause_us(5);
    ME_REG(MODE) = POWER | RETENTION | RUNNING;
    pause_us(100);
    enable_events();
    write_trim();
    return 0;
}

void me_mram_begin_read(uint32_t at, uint32_t l2, uint32_t bytes)
{
    ME_REG(ADDRESS) = at;
    ME_REG(L2) = l2;
    ME_REG(BYTES) = bytes;
    begin(READ, true);
}

bool me_mram_has_read(void) { return ended == ARRIVED; }

int32_t me_mram_read_result(void) { return ME_REG(STATUS) & NOT_CORRECTED ? ME_DAMAGED : ME_OK; }

static int32_t read(uint32_t at, void *to, uint32_t bytes)
{
    if (bytes == 0)
        return ME_OK;
    me_mram_begin_read(at, (uint32_t)(uintptr_t)to, bytes);
    await(ARRIVED);
    return me_mram_read_result();
}

static int32_t program(uint32_t at, const void *from, uint32_t bytes)
{
    for (uint32_t done = 0, part; done < bytes; done += part) {
        const uint32_t in_row = ROW_BYTES - (at + done) % ROW_BYTES;
        part = bytes - done < in_row ? bytes - done : in_row;
        ME_REG(ADDRESS) = at + done;
        ME_REG(L2) = (uint32_t)(uintptr_t)from + done;
        ME_REG(BYTES) = part;
        run(PROGRAM, PROGRAMMED);
    }
    return 0;
}

static int32_t erase(uint32_t at)
{
    ME_REG(ERASE_ADDRESS) = MAPPED + at;
    return run(ERASE_SECTOR, ERASED);
}

const me_flash me_mram = { PAGE_BYTES, ME_MRAM_BLOCK_BYTES, read, program, erase };
