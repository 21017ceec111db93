// SPDX-License-Identifier: Apache-2.0
// NE16, the convolution engine: its jobs, and what its files ask of each other. Sums, layouts and
// cycles are those of GAP9's platform model; docs/developers/simulator.md has the sources.
#pragma once
#include "devices.h"

enum { NE16_WORDS = 24, NE16_CONTEXTS = 2, NE16_EVENT = 12 };
enum {
    KO_TILE = 32,
    KO_TILE_DEPTHWISE = 16,
    KI_TILE_BYTES = 16,
    LINEAR_LANES = 256,
    OUTPUTS = 9,
    OUTPUT_SIDE = 3,
    WINDOW = 5,
    TAPS = 9,
    LANES = 16,
    WEIGHT_BITS = 8
};

enum Ne16Register {
    WEIGHTS_PTR,
    INFEAT_PTR,
    OUTFEAT_PTR,
    SCALE_PTR,
    SCALE_SHIFT_PTR,
    SCALE_BIAS_PTR,
    INFEAT_D0,
    INFEAT_D1,
    INFEAT_D2,
    OUTFEAT_D0,
    OUTFEAT_D1,
    OUTFEAT_D2,
    WEIGHTS_D0,
    WEIGHTS_D1,
    WEIGHTS_D2,
    SUBTILE_REM0,
    SUBTILE_REM1,
    SUBTILE_REM2,
    SUBTILE_NB0,
    SUBTILE_NB1,
    PADDING,
    WEIGHT_OFFSET,
    FILTER_MASK,
    CONFIG0
};

enum Ne16Mode { MODE_3X3, MODE_DEPTHWISE, MODE_1X1, MODE_LINEAR };

typedef struct {
    uint32_t top, right, bottom, left;
} Sides;

// The registers of a job by meaning. Remainders are those of the last tile, full tiles resolved,
// but for ki_last: 0 channels is a size. Strides are modulo 2^32.
typedef struct {
    enum Ne16Mode mode;
    uint32_t weights, input, output, scale, shift, bias;    // addresses
    uint32_t input_d0, input_d1, output_d0, output_d1, output_d2, weights_d0, weights_d1;
    uint32_t ko, ki, rows, columns;                         // tiles
    uint32_t ko_tile, ko_last, ko_last_raw;                 // channels; raw: as written
    uint32_t ki_last;                                       // bytes; linear: rows of 16 bytes
    uint32_t height_last, width_last;                       // outputs of the last tiles, 1 .. 3
    uint32_t side, taps;                                    // of a full input window; of the filter
    uint32_t in_height_last, in_width_last;                 // inputs, 1 .. side
    Sides padding, mask;
    uint32_t padding_value;
    int32_t weight_offset;
    uint32_t weight_bits, scale_bits, output_bits, right_shift; // scale_bits 64: no scale
    bool wide_input, normalises, strided, streams_in, is_signed, has_shifts, has_bias;
    uint32_t plane_bytes;                                   // linear: a bit of an output's weights
} Ne16Job;

// One access to L1: so many cycles after the one before it, and then a cycle.
enum StepKind { STEP_LOAD, STEP_STORE, STEP_PAUSE, STEP_SKIP }; // PAUSE: no access; SKIP: no cycle
typedef struct {
    uint32_t address;
    uint16_t before;
    int16_t after;
    uint8_t kind, bytes;
    uint16_t data; // of a store: first byte of the tile's outputs
} Ne16Step;

enum { MOST_STEPS = 512 };

struct Ne16 {
    uint32_t word[NE16_CONTEXTS][NE16_WORDS];
    Ne16Job job[NE16_CONTEXTS];     // as it was committed
    int id[NE16_CONTEXTS];          // -1: the context is free
    uint32_t writing, using;        // contexts
    uint32_t committed;             // jobs, the running one included
    uint8_t next_id;
    bool held, running, starting;
    // the running job
    Cycle since;
    uint32_t ko, row, column, ki;   // the next pass
    int64_t sum[KO_TILE][OUTPUTS];
    uint8_t outputs[OUTPUTS][KO_TILE * 4];
    Ne16Step step[MOST_STEPS];
    uint32_t steps, played;
    uint32_t wait;                  // cycles before the next step that is planned
};

// Of the tile that is under way.
typedef struct {
    uint32_t in_height, in_width, height, width, channels, ki;
} TileSize;
TileSize tile_size(const Ne16 *n, const Ne16Job *job);
uint32_t input_base(const Ne16 *n, const Ne16Job *job); // address of the tile's first input

void ne16_decode(const uint32_t word[NE16_WORDS], Ne16Job *job);
void ne16_check(const Access *a, const uint32_t word[NE16_WORDS], const Ne16Job *job); // faults

// Where the weights of a pass lie: the first plane, and bytes from an output channel to the next,
// from a bit to the next, of a plane that are loaded; and those of them that inputs are multiplied by.
typedef struct {
    uint32_t base, channel, plane, bytes, used;
} WeightLayout;
WeightLayout weight_layout(const Ne16 *n, const Ne16Job *job);

// ne16_sums.c: all read L1 as it is now
void ne16_stream_in(Machine *m, Ne16 *n, const Ne16Job *job, const uint32_t *addresses, uint32_t loads);
void ne16_multiply(Machine *m, Ne16 *n, const Ne16Job *job);
void ne16_normalise(Machine *m, Ne16 *n, const Ne16Job *job);
void ne16_outputs(Ne16 *n, const Ne16Job *job);

// ne16_steps.c
bool ne16_plan(Machine *m, Ne16 *n, const Ne16Job *job); // the next pass; false: the job is done
Cycle ne16_play(Machine *m, Ne16 *n, Cycle t);           // its next step; when the one behind it is

static inline uint32_t l1_offset_of(const Machine *m, uint32_t address)
{
    const uint32_t offset = address - m->chip.l1_base;
    return offset < m->chip.l1_bytes ? offset : offset % m->chip.l1_bytes;
}

// Faults where a DMA transfer has yet to move some of these bytes of L1.
static inline void check_race(Machine *m, uint32_t address, uint32_t bytes, bool is_store)
{
    const uint32_t first = l1_offset_of(m, address), last = l1_offset_of(m, address + bytes - 1);
    if (bytes && m->l1_watched[first >> 6] | m->l1_watched[last >> 6]) watch_ne16(m, first, bytes, is_store);
}

// So many bytes of L1, in place or, where they run over its end, copied.
static inline const uint8_t *l1_bytes_at(const Machine *m, uint32_t address, uint32_t bytes, uint8_t *copy)
{
    const uint32_t offset = l1_offset_of(m, address);
    if (bytes <= m->chip.l1_bytes - offset) return m->l1 + offset;
    for (uint32_t i = 0; i < bytes; i++)
        copy[i] = m->l1[(offset + i) % m->chip.l1_bytes];
    return copy;
}
