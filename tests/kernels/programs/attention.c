/* Attention; see test_attention.py for the numbers. */
#include "me_attention.h"

#define HELPED
#include "drawn.h"

#define TILES 32

static me_attention_s8_params op ME_L1;
static me_attention_s8_tile tiles[TILES] ME_L1;
static int32_t count ME_L1, exp12 ME_L1;

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

/* Keys and values `part` at a time, those of a part side by side in v; 0: all of them at once. */
static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    const int32_t keys = n[0], width = n[1], columns = n[2], filled = (keys + 3) & ~3, part = n[21],
                  heads = n[24];
    op = (me_attention_s8_params){ keys,  width, columns, n[3],  n[4],
                                   n[5],  n[6],  n[7],    n[8],  n[9],
                                   n[10], n[11], n[12],   n[13], (const uint8_t *)(in + n[14]),
                                   n[23], n[22], 0,       n[26] };
    exp12 = n[27];
    const me_attention_s8_tile whole = { in + n[15],
                                         in + n[16],
                                         in + n[17],
                                         n[18] < 0 ? 0 : in + n[18],
                                         n[19] < 0 ? 0 : in + n[19],
                                         out,
                                         scratch,
                                         n[20],
                                         0,
                                         keys,
                                         0,
                                         filled,
                                         0,
                                         heads,
                                         n[25],
                                         n[25] };
    tiles[0] = whole;
    count = part ? 0 : 1;
    for (int32_t first = 0; part && first < keys; first += part) {
        tiles[count] = whole;
        tiles[count].k += first * heads * width;
        tiles[count].keys = least(part, keys - first);
        tiles[count].first_key = first;
        tiles[count++].values = 0;
    }
    for (int32_t first = 0; part && first < filled; first += part) {
        tiles[count] = whole;
        tiles[count].v += first * heads * columns;
        tiles[count].values = least(part, filled - first);
        tiles[count].first_value = first;
        tiles[count++].keys = 0;
    }
}

static inline int32_t nine_cores(void) { return op.nine_cores; }

static void run_case(void)
{
    for (int32_t t = 0; t < count; t++) {
        if (exp12)
            me_attention_exp12_s8(&op, &tiles[t]);
        else
            me_attention_s8(&op, &tiles[t]);
        if (t + 1 < count)
            ME_SYNC_OF(ME_KERNEL_CORES(op.nine_cores));
    }
}
