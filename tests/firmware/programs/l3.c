/* A file into L3 and out of it again, as many transfers in flight as there may be, by the core that
 * steers while the others compute; 0 if every byte is right. */
#include "firmware/cluster.h"
#include "firmware/host.h"
#include "firmware/l3.h"
#include "firmware/platform.h"

#define PIECE 1024u
#define PIECES 24u /* more than may be in flight */
#define FAR 0x100000u
#define LARGE (3u * 65536u + 12u)

static uint8_t a[LARGE] ME_NOINIT, b[LARGE] ME_NOINIT;
static volatile int32_t wrong ME_L1;

static void check(bool holds)
{
    if (!holds)
        wrong = wrong + 1;
}

static uint8_t pattern(uint32_t i) { return (uint8_t)(i * 41u + (i >> 8) * 3u); }

/* Out and back, in another order, without a wait between. */
static void pieces(void)
{
    for (uint32_t i = 0; i < PIECES; i++)
        me_l3_start(FAR + i * PIECE, a + i * PIECE, PIECE, ME_L2_TO_L3);
    uint32_t ticket = 0;
    for (uint32_t i = 0; i < PIECES; i++)
        ticket = me_l3_start(FAR + i * PIECE, b + (PIECES - 1 - i) * PIECE, PIECE, ME_L3_TO_L2);
    me_l3_wait(ticket);
    for (uint32_t i = 0; i < PIECES * PIECE; i++)
        check(b[i] == a[(PIECES - 1 - i / PIECE) * PIECE + i % PIECE]);
}

static void work(int32_t core, void *unused)
{
    (void)unused;
    if (core == ME_CONTROL_CORE)
        pieces();
    me_barrier_all();
}

int main(void)
{
    wrong = 0;
    for (uint32_t i = 0; i < LARGE; i++)
        a[i] = pattern(i);
    check(me_l3_load("l3.bin", 10000));
    me_l3_wait(me_l3_start(0, b, 10000, ME_L3_TO_L2));
    for (uint32_t i = 0; i < 10000; i++)
        check(b[i] == pattern(i));
    check(!me_l3_load("l3.bin", 10004)); /* the file is shorter */
    me_l3_start(4, a, LARGE, ME_L2_TO_L3);
    me_l3_wait(me_l3_start(4, b, LARGE, ME_L3_TO_L2));
    for (uint32_t i = 0; i < LARGE; i++)
        check(b[i] == a[i]);
    me_cluster_run(work, 0);
    return wrong > 100 ? 100 : wrong;
}
