/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_matmul_s8.h"

#include "me_bit_planes.h"
#include "me_layout_rows.h"
#include "me_math.h"
#include "me_ne16_layer.h"
#include "me_product_sums.h"
#include "me_share.h"
#include "me_sums_s8.h"
#include "me_table_column.h"

/* Columns per job; columns that are gathered together. */
enum { COLUMNS = 32, TOGETHER = 4 };

/* Parts of scratch; planes, terms and sums are those of one of two alternating jobs. */
typedef struct {
    uint8_t *a, *planes, *multipliers;
    int32_t *terms, *sums;
    int8_t *gathered; /* this core's buffer */
} places;

/* A matrix product on NE16. Units are columns; the columns of a product are rounded up to whole jobs. */
typedef struct {
    const me_ne16_matmul_s8_params *op;
    const me_ne16_matmul_s8_tile *tile;
    int32_t units;
} work;

static int32_t bytes_of_a(const work *w)
{
    return (w->tile->a_step ? w->tile->batches : 1) * w->tile->m * w->op->c;
}

static places places_of(const work *w, int32_t first)
{
    const int32_t job = first / COLUMNS & 1, planes = COLUMNS * me_ne16_plane_bytes(w->op->c);
    int8_t *const behind_a = w->tile->scratch + bytes_of_a(w);
    int32_t *const terms = (int32_t *)(void *)(behind_a + 2 * planes + COLUMNS);
    int32_t *const sums = terms + 2 * COLUMNS;
    return (places){
        .a = (uint8_t *)w->tile->scratch,
        .planes = (uint8_t *)behind_a + job * planes,
        .multipliers = (uint8_t *)behind_a + 2 * planes,
        .terms = terms + job * COLUMNS,
        .sums = sums + job * COLUMNS * w->tile->m,
        .gathered = (int8_t *)(sums + 2 * COLUMNS * w->tile->m) + ME_CORE() * TOGETHER * w->op->c,
    };
}

/* Columns of a job: index of the product, index of the first column, number of columns. */
typedef struct {
    int32_t batch, first, n;
} columns;

static columns columns_of(const work *w, int32_t first)
{
    const int32_t batch = first / w->units, column = first - batch * w->units;
    return (columns){ batch, column, me_min(COLUMNS, w->tile->n - column) };
}

/* Gathers n columns of b, at most four, as rows of c bytes. */
static const int8_t *gathered(const work *w, const int8_t *b, int32_t n, int8_t *to)
{
    const int32_t c = w->op->c, stride = w->tile->b_stride;
    if (n == TOGETHER)
        me_turn_columns(b, to, 1, c / 4, stride, c);
    else
        for (int32_t i = 0; i < n; i++)
            me_copy_bytes(b + i, to + i * c, c, stride, 1);
    return to;
}

/* acc = (sum of (a + 128) * b) - (a_zero + 128) * (sum of b) */
static void prepare(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const work *w = layer->op;
    const me_ne16_matmul_s8_params *op = w->op;
    const places at = places_of(w, first);
    const columns of = columns_of(w, first);
    const int32_t groups = (of.n + TOGETHER - 1) / TOGETHER, c = op->c;
    const int8_t *b = w->tile->b + of.batch * w->tile->b_step;
    (void)end;
    for (int32_t group = ME_FIRST(groups); group < ME_LAST(groups); group++) {
        const int32_t column = TOGETHER * group, n = me_min(TOGETHER, of.n - column),
                      from = of.first + column;
        const int8_t *rows =
            op->b_transposed ? b + from * w->tile->b_stride : gathered(w, b + from, n, at.gathered);
        for (int32_t i = 0; i < n; i++) {
            const int32_t sum =
                me_bit_planes_row(rows + i * c, c, at.planes + (column + i) * me_ne16_plane_bytes(op->c));
            at.terms[column + i] = -(op->a_zero + 128) * sum;
        }
    }
}

static void job_of(const me_ne16_layer *layer, int32_t first, int32_t end, me_ne16_job *job)
{
    const work *w = layer->op;
    const places at = places_of(w, first);
    const columns of = columns_of(w, first);
    const int32_t c = w->op->c;
    me_ne16_packed_job(at.planes, of.n, c, ME_NE16_NORMALISE | ME_NE16_BIAS, job);
    (void)end;
    job->at.x = at.a + (w->tile->a_step ? of.batch * w->tile->m * c : 0);
    job->at.y = (int8_t *)at.sums;
    job->at.scales = at.multipliers;
    job->at.biases = at.terms;
    me_ne16_set_run(job, w->tile->m, c, 4 * COLUMNS);
}

static void finish(const me_ne16_layer *layer, int32_t first, int32_t end)
{
    const work *w = layer->op;
    const me_ne16_matmul_s8_params *op = w->op;
    const me_product_scale by = { op->scale.pre, op->mult,      op->offset,
                                  op->shift,     op->scale.low, op->scale.high };
    const me_channel alone = { 0, op->mult, op->offset, op->shift };
    const me_scale limits = { op->scale.pre, op->scale.low, op->scale.high, 0 };
    const places at = places_of(w, first);
    const columns of = columns_of(w, first);
    const int32_t m = w->tile->m, row = w->tile->n, groups = (of.n + TOGETHER - 1) / TOGETHER;
    (void)end;
    for (int32_t group = ME_FIRST(groups); group < ME_LAST(groups); group++) {
        const int32_t column = TOGETHER * group, n = me_min(TOGETHER, of.n - column);
        int8_t *y = w->tile->y + of.batch * m * row + of.first + column;
        if (n == TOGETHER)
            me_product_sums(at.sums + column, m, 4 * COLUMNS, y, row, &by);
        for (int32_t i = 0; n < TOGETHER && i < n; i++)
            me_sums_s8(at.sums + column + i, m, COLUMNS, &alone, &limits, y + i, row);
        for (int32_t i = 0; op->scale.table && i < n; i++)
            me_table_column(op->scale.table + 128, y + i, y + i, m, row);
    }
}

void me_ne16_matmul_s8(const me_ne16_matmul_s8_params *op, const me_ne16_matmul_s8_tile *tile)
{
    const work w = { op, tile, (tile->n + COLUMNS - 1) / COLUMNS * COLUMNS };
    me_ne16_layer layer = {
        .units = tile->batches * w.units,
        .at_a_time = COLUMNS,
        .prepare = prepare,
        .job = job_of,
        .finish = finish,
        .op = &w,
    };
    for (int32_t i = ME_FIRST(COLUMNS); i < ME_LAST(COLUMNS); i++)
        places_of(&w, 0).multipliers[i] = 1;
    me_ne16_unsigned_rows(tile->a, (uint8_t *)tile->scratch, op->c, 0, bytes_of_a(&w) / op->c);
    me_ne16_run(&layer);
}
