/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_layer.h"

#include "me_math.h"
#include "me_share.h"
#include "me_unsigned.h"

static uint32_t tiles_of(int32_t n, int32_t size) { return (uint32_t)((n + size - 1) / size); }

/* Elements in the last tile; 0 if it is full. */
static uint32_t last_of(int32_t n, int32_t size) { return (uint32_t)(n % size); }

void me_ne16_packed_job(const uint8_t *planes, int32_t k, int32_t inputs, uint32_t flags, me_ne16_job *job)
{
    const uint32_t groups = tiles_of(inputs, 16);
    const uint32_t last_inputs = (uint32_t)(inputs - 16 * ((int32_t)groups - 1));
    *job = (me_ne16_job){
        .at.weights = planes,
        .shape.y_group = 32,
        .shape.weight_plane = 18,
        .shape.weight_channel = 16 * groups,
        .shape.last_channels = last_of(k, 32) << 16 | last_inputs,
        .shape.tiles_channels = tiles_of(k, 32) << 16 | groups,
        .shape.weight_offset = -128,
        .shape.config = ME_NE16_1X1 | flags | ME_NE16_WEIGHT_BITS(8) | ME_NE16_INT32 | ME_NE16_SIGNED,
    };
}

void me_ne16_set_run(me_ne16_job *job, int32_t n, int32_t step, int32_t y_step)
{
    const int32_t third = (n + 2) / 3, run = third + ((n - third) & 1), apart = (n - run) / 2;
    job->shape.x_pixel = (uint32_t)step;
    job->shape.x_row = (uint32_t)(apart * step);
    job->shape.y_pixel = (uint32_t)y_step;
    job->shape.y_row = (uint32_t)(apart * y_step);
    job->shape.last_outputs = job->shape.last_inputs = last_of(run, 3);
    job->shape.tiles_pixels = 1 << 16 | tiles_of(run, 3);
}

void me_ne16_unsigned_rows(const int8_t *x, uint8_t *to, int32_t c, int32_t first, int32_t end)
{
    const int32_t from = (first * c + 3) / 4, words = (end * c + 3) / 4 - from;
    const int32_t at = from + ME_FIRST(words), n = ME_LAST(words) - ME_FIRST(words);
    me_unsigned_words(x + 4 * at, to + 4 * at, n);
}

void me_ne16_run(const me_ne16_layer *layer)
{
    int32_t running = 0;
    for (int32_t first = 0; first < layer->units; first += layer->at_a_time) {
        const int32_t ended = running, end = me_min(first + layer->at_a_time, layer->units);
        if (ME_CORE() == 0) {
            me_ne16_job job;
            layer->job(layer, first, end, &job);
            running = me_ne16_program(&job.at, &job.shape);
        }
        layer->prepare(layer, first, end);
        ME_SYNC();
        if (ME_CORE() == 0) {
            me_ne16_trigger();
            if (layer->finish && first > 0)
                me_ne16_wait(ended);
        }
        if (layer->finish && first > 0) {
            ME_SYNC();
            layer->finish(layer, first - layer->at_a_time, first);
        }
    }
    if (ME_CORE() == 0)
        me_ne16_wait(running);
    if (layer->finish) {
        ME_SYNC();
        layer->finish(layer, (layer->units - 1) / layer->at_a_time * layer->at_a_time, layer->units);
    }
}
