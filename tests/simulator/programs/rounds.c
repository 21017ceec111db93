/* SPDX-License-Identifier: Apache-2.0
 * Rounds of a waiting loop that look like the round before them, and must not be counted as such: core 8
 * waits, the workers act in one cycle and then compute for long without any access.
 */
#include "bare.h"
#include "cluster.h"
#include "platform.h"

#define TIMES 48u
#define TIMER_EVENT (1u << 10)
#define LONG ".rept 12\n divu t0, t0, zero\n .endr\n"

NOTES_AND_VECTORS
int main(void);
HANDLER void on_any(void) {}

typedef volatile uint32_t Words[32]; /* the first and the 17th share a bank of L1 */
static Words in_l1 ME_L1 __attribute__((aligned(64))), in_l2 __attribute__((aligned(64)));
#define TOLD (&in_l1[1]) /* what core 8 waits for */
static volatile uint32_t outer_rounds ME_L1;

static void doze(uint32_t cycles)
{
    REG(ME_CLUSTER_TIMER_CONFIG + 0x10) = cycles;
    REG(ME_CLUSTER_TIMER_CONFIG) = 1u | 2u | 4u | 32u;
    REG(ME_EVENT_MASK_SET) = TIMER_EVENT;
    me_event_wait(ME_EVENT_WAIT_CLEAR);
    REG(ME_EVENT_MASK_CLEAR) = TIMER_EVENT;
}

/* The way of core 8 to wait, and what the workers do meanwhile. */
typedef struct {
    volatile uint32_t *words;
    void (*wait)(volatile uint32_t *);
    void (*act)(volatile uint32_t *);
} Way;

/* A round that waits for the bank, or for the way to L2, which all the others have asked for. */
static void look_at_both(volatile uint32_t *w)
{
    __asm__ volatile("1: lw t1, 64(%0)\n lw t2, 0(%1)\n beqz t2, 1b\n" ::"r"(w), "r"(TOLD)
                     : "t1", "t2", "memory");
}

static void all_load(volatile uint32_t *w)
{
    me_barrier_workers();
    __asm__ volatile("lw t1, 0(%0)\n" LONG ::"r"(w) : "t0", "t1", "memory");
}

/* Long rounds, in which the word is told behind the look at it. */
static void look_first(volatile uint32_t *w)
{
    __asm__ volatile("mv a5, %0\n mv a2, %1\n 1: lw a4, 0(a2)\n bnez a4, 2f\n"
                     ".rept 11\n lw a3, 0(a5)\n .endr\n beqz a3, 1b\n 2:\n" ::"r"(w),
                     "r"(TOLD)
                     : "a2", "a3", "a4", "a5", "memory");
}

static void tell_early(volatile uint32_t *w)
{
    (void)w;
    if (me_core() == 0)
        __asm__ volatile("sw %1, 0(%0)\n" LONG ::"r"(TOLD), "r"(1) : "t0", "memory");
}

/* A loop in a loop that counts its rounds, which ends with a branch or a jump. */
#define NESTED(end) \
    __asm__ volatile("1: lw t0, 0(%1)\n addi t0, t0, 1\n sw t0, 0(%1)\n li t0, 0\n li t1, 2\n" \
                     "2: lw t2, 0(%0)\n addi t1, t1, -1\n bnez t1, 2b\n" end::"r"(TOLD), \
                     "r"(&outer_rounds) \
                     : "t0", "t1", "t2", "memory")
static void end_by_branch(volatile uint32_t *w)
{
    (void)w;
    NESTED("beqz t2, 1b\n");
}
static void end_by_jump(volatile uint32_t *w)
{
    (void)w;
    NESTED("bnez t2, 3f\n j 1b\n 3:\n");
}
static void nothing(volatile uint32_t *w) { (void)w; }

static const Way WAYS[] = {
    { in_l1, look_at_both, all_load }, { in_l2, look_at_both, all_load }, { in_l2, look_first, tell_early },
    { in_l1, end_by_branch, nothing }, { in_l1, end_by_jump, nothing },
};
#define WAY_COUNT (sizeof WAYS / sizeof *WAYS)

static void each_time(int32_t core, const Way *way, uint32_t number)
{
    for (uint32_t n = 0; n < TIMES; n++) {
        me_barrier_all();
        if (core == 8) {
            way->wait(way->words);
            notes[number] += cycle() * (n + 1);
            continue;
        }
        if (core == 0)
            doze(500 + 7 * n);
        way->act(way->words);
        if (core != 0)
            continue;
        doze(300);
        *TOLD = 1;
        doze(300);
        *TOLD = 0;
    }
}

static void in_every_way(int32_t core, void *argument)
{
    (void)argument;
    for (uint32_t number = 0; number < WAY_COUNT; number++)
        each_time(core, &WAYS[number], number);
    if (core == 8)
        notes[20] = outer_rounds;
}

int main(void)
{
    use_vectors();
    for (uint32_t i = 0; i < sizeof in_l1 / sizeof *in_l1; i++)
        in_l1[i] = in_l2[i] = 0;
    outer_rounds = 0;
    me_cluster_run(in_every_way, 0);
    return 0;
}
