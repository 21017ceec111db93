/* SPDX-License-Identifier: Apache-2.0
 * Interrupts of the fabric controller: when they are taken, what the core holds then.
 */
#include "bare.h"

NOTES_AND_VECTORS
int main(void);

static volatile uint32_t taken, causes[8], places[8], status, more;

HANDLER void on_any(void)
{
    causes[taken & 7] = CSR_READ(mcause);
    places[taken & 7] = CSR_READ(mepc);
    status = CSR_READ(mstatus);
    if (more) { /* asked for one of a higher number meanwhile: not before this one has ended */
        more = 0;
        REG(ITC + 0x10) = 1u << 5;
        (void)REG(ITC + 0x0C);
        notes[0] = taken;
    }
    taken++;
}

static void raise(uint32_t lines) { REG(ITC + 0x10) = lines; }

static void with_interrupts_on(void)
{
    INTERRUPTS_ON();
    raise(1u << 3);
    while (!taken)
        ;
    notes[1] = causes[0];
    notes[2] = status;
    notes[3] = CSR_READ(mstatus);
    notes[4] = REG(ITC + 0x0C);
}

/* Masked by mstatus.MIE they wake the core and stay pending; then they are taken, highest first. */
static void with_interrupts_off(void)
{
    INTERRUPTS_OFF();
    raise(1u << 2 | 1u << 6);
    WFI();
    notes[5] = taken;
    notes[6] = REG(ITC + 0x0C);
    INTERRUPTS_ON();
    notes[7] = taken;
    INTERRUPTS_OFF();
    notes[8] = causes[1];
    notes[9] = causes[2];
}

/* A timer ends wfi: the handler has run before the instruction behind it. */
static void asleep(void)
{
    taken = 0;
    REG(FC_TIMER + 0x10) = 3000;
    REG(FC_TIMER) = 1u | 2u | 4u | 32u;
    INTERRUPTS_ON();
    const uint32_t before = cycle();
    __asm__ volatile(".globl sleeping\nwfi\nsleeping:\n" ::: "memory");
    notes[10] = taken;
    notes[11] = cycle() - before;
    notes[12] = causes[0];
    notes[13] = places[0];
    INTERRUPTS_OFF();
}

static void one_in_another(void)
{
    taken = 0;
    more = 1;
    INTERRUPTS_ON();
    raise(1u << 4);
    while (taken < 2)
        ;
    notes[14] = causes[0];
    notes[15] = causes[1];
    INTERRUPTS_OFF();
}

/* Sums while a timer interrupts: registers come back as they were. */
static void in_the_middle_of_work(void)
{
    taken = 0;
    REG(FC_TIMER + 0x10) = 97;
    REG(FC_TIMER) = 1u | 2u | 4u | 16u;
    INTERRUPTS_ON();
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        sum = sum * 5 + (i ^ sum >> 3);
        __asm__ volatile("" : "+r"(sum));
    }
    INTERRUPTS_OFF();
    REG(FC_TIMER) = 0;
    notes[16] = sum;
    notes[17] = taken;
}

int main(void)
{
    use_vectors();
    REG(ITC) = 0xFFFFFFFF;
    with_interrupts_on();
    with_interrupts_off();
    asleep();
    one_in_another();
    in_the_middle_of_work();
    REG(ITC) = 1; /* the runtime's way to wake this core */
    return 0;
}
