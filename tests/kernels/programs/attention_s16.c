/* Attention of 16 bits; see test_attention_s16.py for the numbers. */
#include "me_attention_s16.h"

#include "drawn.h"

#define TILES 32

static me_attention_s16_params op ME_L1;
static me_attention_s16_tile tiles[TILES] ME_L1;
static int32_t count ME_L1;

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

/* Keys and values `part` at a time, those of a part side by side in v; 0: all of them at once. */
static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    const int32_t keys = n[0], width = n[1], columns = n[2], filled = (keys + 3) & ~3, part = n[35],
                  heads = n[36];
    op = (me_attention_s16_params){
        keys,
        width,
        columns,
        n[3],
        n[4],
        n[5],
        n[6],
        n[7],
        n[8],
        n[9],
        n[10],
        n[11],
        n[12],
        n[13],
        n[14],
        n[15],
        n[16],
        n[17],
        n[18],
        n[19],
        n[20],
        n[21],
        n[22],
        n[23],
        n[24],
        { (const uint16_t *)(const void *)(in + n[25]), (const uint16_t *)(const void *)(in + n[26]) },
    };
    const me_attention_s16_tile whole = {
        in + n[27],
        in + n[28],
        in + n[29],
        n[30] < 0 ? 0 : in + n[30],
        n[31] < 0 ? 0 : in + n[31],
        out,
        scratch,
        n[32],
        0,
        keys,
        0,
        filled,
        0,
        heads,
        n[33],
        n[34],
    };
    tiles[0] = whole;
    count = part ? 0 : 1;
    for (int32_t first = 0; part && first < keys; first += part) {
        tiles[count] = whole;
        tiles[count].k = in + n[28] + ((first * heads * width) << op.k_wide);
        tiles[count].keys = least(part, keys - first);
        tiles[count].first_key = first;
        tiles[count++].values = 0;
    }
    for (int32_t first = 0; part && first < filled; first += part) {
        tiles[count] = whole;
        tiles[count].v = in + n[29] + ((first * heads * columns) << op.v_wide);
        tiles[count].values = least(part, filled - first);
        tiles[count].first_value = first;
        tiles[count++].keys = 0;
    }
}

static void run_case(void)
{
    for (int32_t t = 0; t < count; t++) {
        me_attention_s16(&op, &tiles[t]);
        if (t + 1 < count)
            ME_SYNC();
    }
}
