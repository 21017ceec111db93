/* Every operation of me_intrinsics.h on drawn numbers; the results go to a file, to be compared with
 * what another body of the header gives for the same numbers. On the chip one core is enough. */
#include "me_dot.h"
#include "me_intrinsics.h"

#ifdef ME_GAP9
#include "firmware/cluster.h"
#include "firmware/host.h"
#include "firmware/platform.h"
#else
#include <stdio.h>
#endif

#define ROUNDS 512
#define MOST 264

static int32_t results[ROUNDS][MOST];
static int32_t used;
static uint32_t state = 1;

/* Small, large and random numbers; lanes at their limits come often. */
static uint32_t draw(void)
{
    static const uint32_t edges[] = { 0,           1,           0xFFFFFFFFu, 0x80000000u,
                                      0x7FFFFFFFu, 0x80808080u, 0x7F7F7F7Fu, 0x80008000u,
                                      0x7FFF7FFFu, 0x807F807Fu, 255,         256 };
    state = state * 1664525u + 1013904223u;
    const uint32_t high = state >> 16;
    state = state * 1664525u + 1013904223u;
    const uint32_t number = high << 16 | state >> 16;
    return high % 4 == 0 ? edges[number % (sizeof edges / sizeof edges[0])] : number;
}

static void note(int32_t *row, int32_t value) { row[used++] = value; }

#define NOTE(operation) note(row, (int32_t)(operation))
#define BOTH_SIZES(NAME, ...) NOTE(NAME##_b(__VA_ARGS__)), NOTE(NAME##_h(__VA_ARGS__))
#define EVERY_CLIP(n) NOTE(me_clips(s, (n) + 1)), NOTE(me_clipu(s, (n)))
#define EVERY_SHIFT(n) \
    NOTE(me_addRN(s, t, (n) + 1)), NOTE(me_mulsRN(s, t, (n) + 1)), NOTE(me_macsRN(acc >> 3, s, t, (n) + 1))
#define EVERY_FIELD(size, at) \
    NOTE(me_extract(s, size, at)), NOTE(me_extractu(a, size, at)), NOTE(me_insert(a, b, size, at))

static void of_numbers(int32_t *row, uint32_t a, uint32_t b, int32_t acc)
{
    const int32_t s = (int32_t)a, t = (int32_t)b;
    NOTE(me_mac(acc, s, t)), NOTE(me_msu(acc, s, t));
    NOTE(me_min(s, t)), NOTE(me_max(s, t)), NOTE(me_minu(a, b)), NOTE(me_maxu(a, b));
    NOTE(me_abs(s));
    NOTE(me_exths(s)), NOTE(me_exthz(s)), NOTE(me_extbs(s)), NOTE(me_extbz(s));
    NOTE(me_ff1(a)), NOTE(me_fl1(a)), NOTE(me_cnt(a)), NOTE(me_ror(a, t & 31));
    EVERY_CLIP(0), EVERY_CLIP(7), EVERY_CLIP(8), EVERY_CLIP(15), EVERY_CLIP(16), EVERY_CLIP(30);
    EVERY_SHIFT(0), EVERY_SHIFT(7), EVERY_SHIFT(14), EVERY_SHIFT(29);
    EVERY_FIELD(1, 0), EVERY_FIELD(8, 8), EVERY_FIELD(5, 27), EVERY_FIELD(31, 1), EVERY_FIELD(32, 0);
}

/* Operands as they are in memory: a compiler may load them without their sign if an operation does not ask for it. */
#define EVERY_NARROW(x, y) \
    NOTE(me_clips(x, 4)), NOTE(me_clipu(x, 4)), NOTE(me_addRN(x, y, 3)), NOTE(me_mulsRN(x, y, 3)); \
    NOTE(me_macsRN(acc >> 3, x, y, 3)), NOTE(me_extract(x, 20, 3))

static void of_narrow_numbers(int32_t *row, const int8_t *bytes, const int16_t *halves, int32_t acc)
{
    EVERY_NARROW(bytes[0], bytes[1]);
    EVERY_NARROW(halves[0], halves[1]);
    EVERY_NARROW(bytes[0], halves[1]);
}

static void of_words(int32_t *row, uint32_t a, uint32_t b, int32_t acc)
{
    BOTH_SIZES(me_add, a, b), BOTH_SIZES(me_sub, a, b);
    BOTH_SIZES(me_min, a, b), BOTH_SIZES(me_max, a, b);
    BOTH_SIZES(me_minu, a, b), BOTH_SIZES(me_maxu, a, b), BOTH_SIZES(me_abs, a);
    BOTH_SIZES(me_dotsp, a, b), BOTH_SIZES(me_dotup, a, b), BOTH_SIZES(me_dotusp, a, b);
    BOTH_SIZES(me_sdotsp, acc, a, b), BOTH_SIZES(me_sdotup, acc, a, b);
    BOTH_SIZES(me_sdotusp, acc, a, b);
    NOTE(me_sra_b(a, b & 0x07070707u)), NOTE(me_sra_h(a, b & 0x000f000fu));
    NOTE(me_pack_h((int32_t)a, (int32_t)b));
    NOTE(me_pack_b((int32_t)a, (int32_t)(a >> 8), (int32_t)b, acc));
}

/* The pointer's way is noted too. */
static void of_memory(int32_t *row, uint32_t a, uint32_t b)
{
    static _Alignas(4) int8_t memory[32];
    int8_t *to = memory;
    me_put_w(&to, a), me_put_w(&to, b), me_put_h(&to, (int32_t)a), me_put_b(&to, (int32_t)b);
    me_put_b(&to, (int32_t)(b >> 8)), me_put_w(&to, a ^ b);
    NOTE(to - memory);
    const int8_t *from = memory + b % 4;
    NOTE(me_next_b(&from)), NOTE(me_next_bu(&from)), NOTE(me_next_h(&from)), NOTE(me_next_hu(&from));
    NOTE(me_next_w(&from)), NOTE(from - memory);
    NOTE(me_at_b(from, -3)), NOTE(me_at_b(from, 2)), NOTE(me_at_bu(from, -3)), NOTE(me_at_bu(from, 2));
    NOTE(me_step_w(&from, -6)), NOTE(me_step_b(&from, 5)), NOTE(me_step_b(&from, -8));
    NOTE(me_step_h(&from, 3)), NOTE(me_step_h(&from, -3));
    NOTE(from - memory);
}

/* Sums of products of rows, at addresses that are no words too, of no word, one, an odd and an even number. */
#define DOTS(KIND, ROW, n) \
    do { \
        int32_t sums[4]; \
        NOTE(me_sum_##KIND((ROW) + 1, n)), NOTE(me_dot_##KIND((ROW), (ROW) + 1, n)); \
        me_dot2_##KIND(sums, (ROW) + 1, (ROW), (ROW) + 3, n); \
        NOTE(sums[0]), NOTE(sums[1]); \
        me_dot4_##KIND(sums, (ROW), (ROW) + 1, (ROW) + 2, (ROW) + 3, (ROW) + 5, n); \
        NOTE(sums[0]), NOTE(sums[1]), NOTE(sums[2]), NOTE(sums[3]); \
    } while (0)

static void of_rows(int32_t *row)
{
    static _Alignas(4) int8_t bytes[64];
    static _Alignas(4) int16_t halves[64];
    for (int32_t i = 0; i < 64; i++) {
        const uint32_t number = draw();
        bytes[i] = (int8_t)number;
        halves[i] = (int16_t)(number >> 16);
    }
    DOTS(b, bytes, 3);
    DOTS(b, bytes, 4);
    DOTS(b, bytes, 14);
    DOTS(b, bytes, 40);
    DOTS(h, halves, 1);
    DOTS(h, halves, 2);
    DOTS(h, halves, 7);
    DOTS(h, halves, 40);
}

static void run(int32_t core, void *unused)
{
    (void)unused;
    if (core != 0)
        return;
    for (int32_t round = 0; round < ROUNDS; round++) {
        const uint32_t a = draw(), b = draw(), acc = draw();
        used = 0;
        of_numbers(results[round], a, b, (int32_t)acc);
        const int8_t bytes[2] = { (int8_t)a, (int8_t)b };
        const int16_t halves[2] = { (int16_t)(a >> 16), (int16_t)(b >> 16) };
        of_narrow_numbers(results[round], bytes, halves, (int32_t)acc);
        of_words(results[round], a, b, (int32_t)acc);
        of_memory(results[round], a, b);
        of_rows(results[round]);
    }
}

int main(void)
{
#ifdef ME_GAP9
    me_cluster_run(run, 0);
    const int32_t file = me_open("results.bin", ME_WRITE);
    me_write(file, results, sizeof results);
    me_close(file);
    return used < MOST ? 0 : 1;
#else
    run(0, 0);
    return used < MOST && fwrite(results, sizeof results, 1, stdout) == 1 ? 0 : 1;
#endif
}
