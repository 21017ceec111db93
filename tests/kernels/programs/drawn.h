/* Runs drawn cases of a kernel: on the chip's simulator all eight cores, on a host as a program.
 * cases.bin: for every case four int32 (numbers, bytes of input, bytes of output, scratch bytes),
 * the numbers, the input. results.bin: for every case the cycles, then the output with GUARD bytes
 * before and after it, which nobody may write. A program has two functions of its own: one makes the
 * kernel's structs, in L1, the other calls the kernel. */
#include <stdint.h>

#include "me_share.h"

#ifndef ROUNDS
#define ROUNDS 2 /* the last one finds its code in the caches */
#endif
#define GUARD 32 /* operands and results in step do not meet in one bank */
#define GUARD_BYTE 0x5A
#define L1_BYTES 112000
#define L2_BYTES 1300000

#ifdef ME_GAP9
#include "firmware/cluster.h"
#include "firmware/host.h"
#include "firmware/marks.h"
#else
#include <stdio.h>
#define ME_L1
#define ME_NOINIT
#endif

/* Whether core 8 calls the kernel as well: a program that knows defines HELPED, and this. */
static inline int32_t nine_cores(void);
#ifndef HELPED
static inline int32_t nine_cores(void) { return 0; }
#endif

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch);
static void run_case(void);

static int8_t l1[L1_BYTES] ME_L1 __attribute__((aligned(64)));
static int32_t numbers[64] ME_L1;
static int8_t l2[L2_BYTES] ME_NOINIT __attribute__((aligned(64)));

typedef struct {
    const int32_t *head;
    int8_t *results;
    int32_t cycles;
} me_case;

static int32_t rounded(int32_t bytes) { return (bytes + 63) / 64 * 64; }

#define IN_BYTES(head) rounded((head)[1])
#define OUT_BYTES(head) rounded((head)[2] + 2 * GUARD)

static void prepare(const me_case *c)
{
    const int32_t *head = c->head;
    const int8_t *from = (const int8_t *)(head + 4 + head[0]);
    int8_t *out = l1 + IN_BYTES(head);
    for (int32_t i = 0; i < 4 + head[0]; i++)
        numbers[i] = head[i];
    for (int32_t i = 0; i < head[1]; i++)
        l1[i] = from[i];
    for (int32_t i = 0; i < head[2] + 2 * GUARD; i++)
        out[i] = GUARD_BYTE;
    set_case(numbers + 4, l1, out + GUARD, out + OUT_BYTES(numbers));
}

static void keep(const me_case *c)
{
    const int8_t *out = l1 + IN_BYTES(c->head);
    for (int32_t i = 0; i < c->head[2] + 2 * GUARD; i++)
        c->results[i] = out[i];
}

#ifdef ME_GAP9
static void work(int32_t core, void *argument)
{
    me_case *c = argument;
    for (int32_t round = 0; round < ROUNDS; round++) {
        if (core == 0)
            prepare(c);
        me_barrier_all();
        const uint32_t start = me_cycles();
        if (core < ME_WORKERS || nine_cores())
            run_case();
        me_barrier_all();
        if (core == 0)
            c->cycles = (int32_t)(me_cycles() - start);
    }
    if (core == 0)
        keep(c);
}
#else
static void work(me_case *c)
{
    (void)nine_cores;
    prepare(c);
    run_case();
    keep(c);
}
#endif

/* -> bytes of results, which are behind the cases in l2 */
static int32_t run_all(int32_t bytes)
{
    int32_t at = 0, results = rounded(bytes);
    while (at < bytes) {
        const int32_t *head = (const int32_t *)(void *)(l2 + at);
        me_case c = { head, l2 + results + 4, 0 };
#ifdef ME_GAP9
        static me_case shared ME_L1;
        shared = c;
        me_cluster_run(work, &shared);
        c = shared;
#else
        work(&c);
#endif
        *(int32_t *)(void *)(l2 + results) = c.cycles;
        results += 4 + (head[2] + 2 * GUARD + 3) / 4 * 4;
        at += 16 + 4 * head[0] + (head[1] + 3) / 4 * 4;
    }
    return results - rounded(bytes);
}

int main(void)
{
#ifdef ME_GAP9
    const int32_t from = me_open("cases.bin", ME_READ);
    const int32_t bytes = (int32_t)me_read(from, l2, sizeof l2);
    me_close(from);
    const int32_t results = run_all(bytes);
    const int32_t to = me_open("results.bin", ME_WRITE);
    me_write(to, l2 + rounded(bytes), (uint32_t)results);
    me_close(to);
    return me_stacks_intact() ? 0 : 1;
#else
    FILE *from = fopen("cases.bin", "rb");
    const int32_t bytes = (int32_t)fread(l2, 1, sizeof l2, from);
    fclose(from);
    const int32_t results = run_all(bytes);
    FILE *to = fopen("results.bin", "wb");
    const int32_t written = (int32_t)fwrite(l2 + rounded(bytes), 1, (size_t)results, to);
    fclose(to);
    return written == results ? 0 : 1;
#endif
}
