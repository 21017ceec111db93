/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_layer.h"

#include "me_share.h"
#include "me_unsigned.h"

static uint32_t tiles_of(int32_t n, int32_t size) { return (uint32_t)((n + size - 1) / size); }

/* Elements in the last tile; 0 if it is full. */
static uint32_t last_of(int32_t n, int32_t size) { return (uint32_t)(n % size); }

void me_ne16_sums_job_of(const me_ne16_outputs *out, uint32_t config, me_ne16_job *job)
{
    const uint32_t inputs = tiles_of(out->inputs, 16);
    const uint32_t last_inputs = (uint32_t)(out->inputs - 16 * ((int32_t)inputs - 1));
    *job = (me_ne16_job){
        .at.weights = out->weights,
        .shape.y_group = 32,
        .shape.weight_plane = 18,
        .shape.weight_channel = (uint32_t)(out->weight_bytes * out->weight_bits) * inputs,
        .shape.last_channels = last_of(out->k, 32) << 16 | last_inputs,
        .shape.tiles_channels = tiles_of(out->k, 32) << 16 | inputs,
        .shape.weight_offset = -(1 << (out->weight_bits - 1)),
        .shape.config = config | ME_NE16_WEIGHT_BITS(out->weight_bits) | ME_NE16_INT32 | ME_NE16_SIGNED,
    };
}

void me_ne16_set_image(me_ne16_job *job, int32_t rows, int32_t columns, int32_t reach)
{
    const uint32_t last_rows = last_of(rows, 3), last_columns = last_of(columns, 3), more = (uint32_t)reach;
    job->shape.last_outputs = last_rows << 16 | last_columns;
    job->shape.last_inputs =
        (last_rows ? last_rows + more : 0) << 16 | (last_columns ? last_columns + more : 0);
    job->shape.tiles_pixels = tiles_of(rows, 3) << 16 | tiles_of(columns, 3);
}

void me_ne16_set_run(me_ne16_job *job, int32_t n, int32_t step, int32_t y_step)
{
    const int32_t third = (n + 2) / 3, run = third + ((n - third) & 1), apart = (n - run) / 2;
    job->shape.x_pixel = (uint32_t)step;
    job->shape.x_row = (uint32_t)(apart * step);
    job->shape.y_pixel = (uint32_t)y_step;
    job->shape.y_row = (uint32_t)(apart * y_step);
    me_ne16_set_image(job, 3, run, 0);
}

void me_ne16_unsigned_rows(const int8_t *x, uint8_t *to, int32_t c, int32_t first, int32_t end)
{
    const int32_t from = (first * c + 3) / 4, words = (end * c + 3) / 4 - from;
    const int32_t at = from + ME_FIRST(words), n = ME_LAST(words) - ME_FIRST(words);
    me_unsigned_words(x + 4 * at, to + 4 * at, n);
}

#ifdef ME_GAP9
volatile int32_t me_tiles_loaded ME_L1;
#endif

/* Number of the first job of each of two alternating tiles if the tile before has started it, otherwise
 * NONE. Two entries: core 0 writes the next tile's entry while other cores may still read their own. */
enum { NONE = -1 };
static int32_t started[2] ME_L1;
static int32_t is_ready ME_L1; /* whether the operands of the next tile have come */

static int32_t end_of_job(const me_ne16_layer *layer, int32_t first)
{
    const int32_t end = first + (first ? layer->at_a_time : layer->first_units);
    return end < layer->units ? end : layer->units;
}

/* Starts the next tile's first job, so that the engine is busy when this tile's last job, `running`, ends.
 * Called by all cores: core 0 writes the job, the others prepare its operands. noinline, because not all
 * tiles need it. */
static __attribute__((noinline)) void start_next(const me_ne16_layer *layer, int32_t running)
{
    int32_t *const number = started + (layer->next->number & 1);
    if (ME_CORE() == 0) {
        /* The job before the last one reads buffers that the next tile's operands overwrite. */
        me_ne16_wait(running + 1);
        while (!(is_ready = me_is_loaded(layer->next)) && !me_ne16_has_ended(running))
            ;
        *number = NONE;
    }
    ME_SYNC(); /* the next job overwrites these results: all cores must have read them */
    if (!is_ready)
        return;
    const me_ne16_layer *next = layer->next->tile;
    if (ME_CORE() == 0)
        *number = me_ne16_program(&next->first->at, &next->first->shape);
    if (next->prepare) {
        next->prepare(next, 0, end_of_job(next, 0));
        ME_SYNC();
    }
    if (ME_CORE() == 0)
        me_ne16_trigger();
}

/* Finishes a tile: `running` is its last job, which computes the units from `before` on. The next tile's
 * first job may be queued after it. */
static void end_tile(const me_ne16_layer *layer, int32_t running, int32_t before)
{
    if (layer->next && layer->next->tile)
        start_next(layer, running);
    if (ME_CORE() == 0)
        me_ne16_wait(running);
    if (layer->finish) {
        ME_SYNC();
        layer->finish(layer, before, layer->units);
    }
}

static int32_t program(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    if (first == 0 && layer->first)
        return me_ne16_program(&layer->first->at, &layer->first->shape);
    me_ne16_job job;
    layer->job(layer, first, end, &job);
    return me_ne16_program(&job.at, &job.shape);
}

void me_ne16_run(const me_ne16_layer *layer)
{
    int32_t first = 0, running = 0, before = 0;
    if (layer->next && layer->next->follows && started[~layer->next->number & 1] != NONE) {
        running = started[~layer->next->number & 1];
        first = end_of_job(layer, 0);
        if (layer->start_others && ME_CORE() == 0)
            running = layer->start_others(layer, 0, first);
    }
    for (int32_t last; first < layer->units; first = last) {
        const int32_t ended = running;
        last = end_of_job(layer, first);
        if (ME_CORE() == 0)
            running = program(layer, first, last);
        if (layer->prepare)
            layer->prepare(layer, first, last);
        ME_SYNC();
        if (ME_CORE() == 0) {
            me_ne16_trigger();
            if (layer->start_others) /* the engine queues two jobs */
                running = layer->start_others(layer, first, last);
            else if (layer->finish && first > 0)
                me_ne16_wait(ended);
        }
        if (layer->finish && first > 0) {
            ME_SYNC();
            layer->finish(layer, before, first);
        }
        before = first;
    }
    end_tile(layer, running, before);
}

me_ne16_layer me_ne16_layers[2] ME_L1;
static me_ne16_job first_jobs[2] ME_L1;

void me_ne16_keep_first_job(me_ne16_layer *layer)
{
    me_ne16_job *const first = first_jobs + (layer - me_ne16_layers);
    layer->job(layer, 0, end_of_job(layer, 0), first);
    layer->first = first;
}
