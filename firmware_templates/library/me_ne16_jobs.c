/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_jobs.h"

#include "me_broadcast.h"
#include "me_math.h"
#include "me_ne16_layer.h"
#include "me_table.h"
#include "me_unsigned.h"

#ifdef ME_GAP9
volatile int32_t me_tiles_loaded ME_L1;
#endif

/* Number of the first job of each of two alternating tiles if the tile before has started it, otherwise
 * NONE. Two entries: core 0 writes the next tile's entry while other cores may still read their own. */
enum { NONE = -1 };
static int32_t started[2] ME_L1;
static int32_t is_ready ME_L1; /* whether the operands of the next tile have come */

static int32_t program(const me_ne16_jobs_tile *tile, const me_ne16_range *range, int32_t number)
{
    const me_ne16_placed_job *job = tile->jobs + range->job + number;
    const me_ne16_shape *shape = tile->shapes + job->shape;
    me_ne16_places at = tile->at;
    at.weights += job->weights;
    at.x += range->x + job->x;
    at.y += range->y + job->y;
    at.scales += job->k << (shape->config >> ME_NE16_SCALE_SHIFT & 3);
    at.shifts += job->k;
    at.biases += job->k;
    return me_ne16_program(&at, shape);
}

/* Starts the jobs of a range after the first, which is `running`. Returns the last one. */
static int32_t start_others(const me_ne16_jobs_tile *tile, const me_ne16_range *range, int32_t running)
{
    for (int32_t job = 1; job < range->jobs; job++) {
        running = program(tile, range, job);
        me_ne16_trigger();
    }
    return running;
}

static void prepare(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile, const me_ne16_range *range)
{
    if (op->prepare && !tile->has_scratch)
        op->prepare(op, tile, range);
}

/* Whether the cores finish a range: some of its units are complete. */
static int finishes(const me_ne16_jobs_params *op, const me_ne16_range *range)
{
    return op->finish && range[1].first > range->first;
}

/* Starts the next tile's first job, so that the engine is busy when this tile's last job, `running`, ends.
 * Called by all cores: core 0 writes the job, the others prepare its operands. noinline, because not all
 * tiles need it. */
static __attribute__((noinline)) void start_next(const me_ne16_jobs_params *op, const me_next_tile *behind,
                                                 int32_t running)
{
    const me_ne16_jobs_tile *next = behind->tile;
    int32_t *const number = started + (behind->number & 1);
    if (ME_CORE() == 0) {
        /* The job before the last one reads buffers that the next tile's operands overwrite. */
        me_ne16_wait(running + 1);
        while (!(is_ready = me_is_loaded(behind)) && !me_ne16_has_ended(running))
            ;
        *number = NONE;
    }
    ME_SYNC(); /* the next job overwrites these results: all cores must have read them */
    if (!is_ready)
        return;
    if (ME_CORE() == 0)
        *number = program(next, next->ranges, 0);
    prepare(op, next, next->ranges);
    ME_SYNC();
    if (ME_CORE() == 0)
        me_ne16_trigger();
}

static void restore_x(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile)
{
    ME_SYNC();
    me_ne16_unsigned_rows(tile->conv.x, (uint8_t *)tile->conv.padded, op->inputs, 0, me_ne16_units_of(tile));
}

void me_ne16_jobs(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile)
{
    const me_ne16_range *range = tile->ranges, *const end = range + tile->range_count;
    int32_t running = 0;
    if (tile->next.follows && started[~tile->next.number & 1] != NONE) {
        running = started[~tile->next.number & 1];
        if (ME_CORE() == 0)
            running = start_others(tile, range, running);
        range++;
    }
    for (; range < end; range++) {
        const int32_t ended = running, ends_units = range > tile->ranges && finishes(op, range - 1);
        if (ME_CORE() == 0)
            running = program(tile, range, 0);
        prepare(op, tile, range);
        ME_SYNC();
        if (ME_CORE() == 0) {
            me_ne16_trigger();
            if (range->jobs > 1) /* the engine queues two jobs */
                running = start_others(tile, range, running);
            else if (ends_units)
                me_ne16_wait(ended);
        }
        if (ends_units) {
            ME_SYNC();
            op->finish(op, tile, range - 1);
        }
    }
    if (op->beside)
        op->beside(op, tile);
    if (tile->next.tile)
        start_next(op, &tile->next, running);
    if (ME_CORE() == 0)
        me_ne16_wait(running);
    if (finishes(op, end - 1)) {
        ME_SYNC();
        op->finish(op, tile, end - 1);
    }
    if (tile->restores)
        restore_x(op, tile);
}

void me_ne16_prepare_rows(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile,
                          const me_ne16_range *range)
{
    const int32_t c = op->inputs, from = (range->prepared * c + 3) / 4;
    const int32_t words = (range[1].prepared * c + 3) / 4 - from;
    const int32_t at = from + ME_FIRST_OF_7(words), n = from + ME_LAST_OF_7(words) - at;
    me_unsigned_words(tile->conv.x + 4 * at, (uint8_t *)tile->conv.padded + 4 * at, n);
}

void me_ne16_copy_pieces(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile,
                         const me_ne16_range *range)
{
    const int32_t n = range[1].copy - range->copy;
    for (int32_t i = ME_FIRST_TURN_OF_7(n); i < n; i += ME_NEXT_TURN_OF_7) {
        const me_ne16_copy *copy = tile->copies + range->copy + i;
        const int8_t *from = copy->from < 0 ? (const int8_t *)&op->padding : tile->conv.x + copy->from;
        me_xor_pieces(from, tile->conv.padded + copy->to, copy->pieces, copy->bytes, copy->from_step,
                      copy->to_step, ME_TO_UNSIGNED);
    }
}

/* Copies results from scratch, where they are contiguous. */
static void copy_results(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile, int32_t units)
{
    const int32_t k = tile->conv.k, from = ME_FIRST(units), n = ME_LAST(units) - from;
    const int8_t *table = op->conv.scale.table, *results = tile->at.y + from * k;
    int8_t *y = tile->conv.y + from * tile->unit_bytes;
    if (n > 0 && table)
        me_table_row(table, results, y, n * k);
    else if (n > 0)
        me_xor_pieces(results, y, n, k, k, tile->unit_bytes, 0);
}

/* Rows of a turned convolution are interleaved in rows of y. */
static void look_up_columns(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile, int32_t first,
                            int32_t n)
{
    const me_conv_s8_tile *conv = &tile->conv;
    for (int32_t i = ME_FIRST(conv->ow); i < ME_LAST(conv->ow); i++) {
        int8_t *y = conv->y + i * conv->y_stride + first * tile->unit_bytes;
        me_table_row(op->conv.scale.table, y, y, n * tile->unit_bytes);
    }
}

void me_ne16_finish_bytes(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile,
                          const me_ne16_range *range)
{
    const int32_t first = range->first, n = range[1].first - first;
    if (tile->ninth) {
        copy_results(op, tile, n);
    } else if (op->form & ME_NE16_TURNED) {
        look_up_columns(op, tile, first, n);
    } else if (op->conv.scale.table) {
        int8_t *y = tile->conv.y + first * tile->unit_bytes;
        const me_part part = me_part_of(n * tile->unit_bytes);
        me_table_row(op->conv.scale.table, y + part.first, y + part.first, part.last - part.first);
    }
}
