/* Ten jobs in NE16's queue, of two shapes in turns, while the cores compute; 0 if every output of the
 * engine and every sum of the cores is right. */
#include "firmware/cluster.h"
#include "firmware/platform.h"

#define NE16(offset) (*(volatile uint32_t *)(0x10201000u + (offset)))
#define CLOCKS (*(volatile uint32_t *)0x10200018u)
#define EVENT_MASK_AND (*(volatile uint32_t *)0x10204004u)
#define EVENT_MASK_OR (*(volatile uint32_t *)0x10204008u)
#define EVENT_WAIT 0x1020403Cu /* and clear */
#define EVENT (1u << 12)

enum { TRIGGER = 0x00, ACQUIRE = 0x04, STATUS = 0x0C, JOB = 0x20, CLOCK_GATE = 1 << 11 };
enum { JOBS = 10, SIDE = 6, CHANNELS = 32, BITS = 8, PIXELS = SIDE * SIDE, WORDS = 24, SHIFT = 12 };

static uint8_t input[PIXELS * CHANNELS] ME_L1, weights[CHANNELS * CHANNELS] ME_L1;
static uint8_t output[JOBS][PIXELS * CHANNELS] ME_L1, scale[CHANNELS] ME_L1;
static int32_t bias[CHANNELS] ME_L1;
static volatile uint32_t sums[ME_WORKERS] ME_L1, wrong ME_L1;

static uint32_t weight(uint32_t ko, uint32_t ki) { return (ko * 37 + ki * 91 + ko * ki) & 255; }

/* Bit planes, lowest first: output channel, 16 inputs, bit, 2 bytes. */
static void fill(void)
{
    wrong = 0;
    for (uint32_t i = 0; i < sizeof input; i++)
        input[i] = (uint8_t)(i * 41 + (i >> 7));
    for (uint32_t i = 0; i < sizeof weights; i++)
        weights[i] = 0;
    for (uint32_t ko = 0; ko < CHANNELS; ko++)
        for (uint32_t ki = 0; ki < CHANNELS; ki++)
            for (uint32_t bit = 0; bit < BITS; bit++)
                weights[((ko * 2 + ki / 16) * BITS + bit) * 2 + ki % 16 / 8] |=
                    (uint8_t)((weight(ko, ki) >> bit & 1) << ki % 8);
    for (uint32_t ko = 0; ko < CHANNELS; ko++) {
        scale[ko] = (uint8_t)(ko * 5 + 1);
        bias[ko] = (int32_t)ko * 1000 + (1 << (SHIFT - 1));
    }
}

/* Even jobs are all pixels, odd ones the first 3 x 3. */
static uint32_t side_of(uint32_t job) { return job & 1 ? 3 : SIDE; }

static void registers_of(uint32_t job, uint32_t word[WORDS])
{
    const uint32_t tiles = side_of(job) / 3;
    const uint32_t value[WORDS] = { (uint32_t)weights,
                                    (uint32_t)input,
                                    (uint32_t)output[job],
                                    (uint32_t)scale,
                                    0,
                                    (uint32_t)bias,
                                    CHANNELS,
                                    CHANNELS * SIDE,
                                    0,
                                    0,
                                    CHANNELS,
                                    CHANNELS * SIDE,
                                    0,
                                    2 * BITS * CHANNELS / 16,
                                    0,
                                    CHANNELS << 16 | 16,
                                    0,
                                    0,
                                    1 << 16 | CHANNELS / 16,
                                    tiles << 16 | tiles,
                                    0,
                                    (uint32_t)-128,
                                    0,
                                    (BITS - 1) | 1u << 4 | 2u << 5 | SHIFT << 16 | 1u << 25 };
    for (uint32_t i = 0; i < WORDS; i++)
        word[i] = value[i];
}

/* A context is held from now on; where both are committed, the event of a job's end frees one. */
static void acquire(void)
{
    while (NE16(ACQUIRE) > 255)
        me_event_wait(EVENT_WAIT);
}

static void run_jobs(void)
{
    uint32_t word[WORDS];
    CLOCKS = CLOCK_GATE;
    EVENT_MASK_OR = EVENT;
    for (uint32_t job = 0; job < JOBS; job++) {
        registers_of(job, word);
        acquire();
        for (uint32_t i = 0; i < WORDS; i++)
            NE16(JOB + 4 * i) = word[i];
        NE16(TRIGGER) = 0;
    }
    while (NE16(STATUS))
        me_event_wait(EVENT_WAIT);
    EVENT_MASK_AND = EVENT;
}

static uint8_t expected(uint32_t pixel, uint32_t ko)
{
    int32_t sum = 0;
    for (uint32_t ki = 0; ki < CHANNELS; ki++)
        sum += input[pixel * CHANNELS + ki] * ((int32_t)weight(ko, ki) - 128);
    const int32_t scaled = (sum * scale[ko] + bias[ko]) >> SHIFT;
    return (uint8_t)(scaled < 0 ? 0 : scaled > 255 ? 255 : scaled);
}

static void check_job(uint32_t job)
{
    for (uint32_t y = 0; y < side_of(job); y++)
        for (uint32_t x = 0; x < side_of(job); x++)
            for (uint32_t ko = 0; ko < CHANNELS; ko++)
                if (output[job][(y * SIDE + x) * CHANNELS + ko] != expected(y * SIDE + x, ko))
                    wrong = wrong + 1;
}

static void work(int32_t core, void *unused)
{
    (void)unused;
    if (core == ME_CONTROL_CORE)
        fill();
    me_barrier_all();
    if (core == ME_CONTROL_CORE)
        run_jobs();
    else
        for (uint32_t i = 0; i < sizeof input; i++)
            sums[core] = (i ? sums[core] : 0) + input[i] * ((uint32_t)core + 1);
    me_barrier_all();
    if (core < ME_WORKERS && sums[core] != sums[0] * ((uint32_t)core + 1))
        wrong = wrong + 1;
    me_barrier_all();
    for (uint32_t job = (uint32_t)core; job < JOBS; job += ME_CORES)
        check_job(job);
}

int main(void)
{
    me_cluster_run(work, 0);
    return wrong != 0;
}
