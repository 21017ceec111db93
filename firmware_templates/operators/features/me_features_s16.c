/* SPDX-License-Identifier: Apache-2.0 */
#include "me_features.h"

#include "me_levinson.h"
#include "me_math.h"
#include "me_share.h"
#include "me_wide.h"

#define INLINE static inline __attribute__((always_inline))

enum { VALUE, ABS, PRODUCT, LARGER, PREDICTOR, MOST_FACTORS = 4, MOST_EDGES = 31 };

/* A difference x[first + t] - x[less + t], or x[first + t] - zero. keep: bit mask of the subtracted
 * sample, -1 or 0. */
typedef struct {
    const int8_t *first, *less;
    int32_t keep, zero;
} taps;

/* A factor of one window. Its test is true if (value >= limit) == least. */
typedef struct {
    taps a, b;
    int32_t form, limit, least;
} factor;

static inline taps taps_of(const int8_t *x, const me_features_s16_params *op, int32_t first, int32_t less)
{
    const int8_t *at = x + first * (1 + op->x_wide);
    const taps one = { at, at, 0, op->x_zero }, both = { at, x + less * (1 + op->x_wide), -1, 0 };
    return less < 0 ? one : both;
}

static inline factor factor_of(const int8_t *x, const me_features_s16_params *op, const me_feature_factor *f)
{
    const factor made = { taps_of(x, op, f->a_first, f->a_less), taps_of(x, op, f->b_first, f->b_less),
                          f->form, f->limit + (f->test < 0), f->test > 0 };
    return made;
}

/* pairs: 1 if all operands of the factor are differences of two samples, -1 if none is, otherwise 0. */
INLINE int32_t difference(const taps *p, int32_t t, int32_t wide, int32_t pairs)
{
    const int32_t first = me_load_wide(p->first, t, wide);
    if (pairs > 0)
        return first - me_load_wide(p->less, t, wide);
    return first - p->zero - (pairs ? 0 : me_load_wide(p->less, t, wide) & p->keep);
}

INLINE int32_t magnitude(int32_t value) { return value < 0 ? -value : value; }

/* The factor's value at t; products of two int16 values are saturated to int32. */
INLINE int32_t value_of(const factor *f, int32_t t, int32_t wide, int32_t pairs, int32_t form)
{
    const int32_t a = difference(&f->a, t, wide, pairs);
    if (form == VALUE || form == ABS)
        return form == VALUE ? a : magnitude(a);
    const int32_t b = difference(&f->b, t, wide, pairs);
    if (form == LARGER)
        return me_max(magnitude(a), magnitude(b));
    if (!wide)
        return a * b;
    const int64_t product = (int64_t)a * b;
    /* cppcheck-suppress knownConditionTrueFalse ; a product of 17-bit differences may exceed int32 */
    return (int32_t)product == product ? (int32_t)product : product < 0 ? INT32_MIN : INT32_MAX;
}

/* The value at t of a factor without a test. */
static int64_t value_without_test(const factor *f, int32_t t, int32_t wide)
{
    const int32_t a = difference(&f->a, t, wide, 0), b = difference(&f->b, t, wide, 0);
    if (f->form == PRODUCT)
        return (int64_t)a * b;
    return f->form == VALUE ? a : f->form == ABS ? magnitude(a) : me_max(magnitude(a), magnitude(b));
}

INLINE int32_t is_true(const factor *f, int32_t t, int32_t wide, int32_t pairs, int32_t form)
{
    return (value_of(f, t, wide, pairs, form) >= f->limit) == f->least;
}

static __attribute__((noinline)) int32_t value_any(const factor *f, int32_t t, int32_t wide)
{
    return f->form == PRODUCT ? value_of(f, t, wide, 0, PRODUCT)
        : f->form == VALUE    ? value_of(f, t, wide, 0, VALUE)
                              : value_of(f, t, wide, 0, LARGER); /* ABS too: its b equals a */
}

static int32_t is_true_any(const factor *f, int32_t t, int32_t wide)
{
    return (value_any(f, t, wide) >= f->limit) == f->least;
}

/* Sum, over the positions at which `tests` factors are true, of the following factor, or of ones if there
 * is none. */
INLINE int64_t sum_where(const factor *f, int32_t tests, int32_t has_value, int32_t end, int32_t wide,
                         int32_t pairs, int32_t form)
{
    const factor first = *f, second = f[1];
    const int32_t is_plain = tests == 2 && (second.form == ABS || second.form == LARGER);
    int64_t sum = 0;
    int32_t count = 0;
    for (int32_t t = 0; t < end; t++) {
        if (!is_true(&first, t, wide, pairs, form))
            continue;
        if (is_plain) {
            if (!is_true(&second, t, wide, 0, LARGER))
                continue;
        } else {
            int32_t i = 1;
            while (i < tests && is_true_any(f + i, t, wide))
                i++;
            if (i < tests)
                continue;
        }
        count++;
        if (has_value)
            sum += value_without_test(f + tests, t, wide);
    }
    return has_value ? sum : count;
}

/* Sum of a factor without a test; it fits int32 except for products of int16. */
INLINE int64_t sum_of(const factor *f, int32_t end, int32_t wide, int32_t pairs, int32_t form)
{
    const factor one = *f;
    int64_t products = 0;
    int32_t sum = 0;
    for (int32_t t = 0; t < end; t++) {
        if (wide && form == PRODUCT)
            products += (int64_t)difference(&one.a, t, wide, pairs) * difference(&one.b, t, wide, pairs);
        else
            sum += value_of(&one, t, wide, pairs, form);
    }
    return products + sum;
}

INLINE int64_t sum_with(const factor *f, int32_t tests, int32_t has_value, int32_t end, int32_t wide,
                        int32_t form)
{
    const int32_t pairs = f->a.keep && f->b.keep ? 1 : f->a.keep || f->b.keep ? 0 : -1;
    if (tests && pairs > 0)
        return sum_where(f, tests, has_value, end, wide, 1, form);
    if (tests && pairs < 0)
        return sum_where(f, tests, has_value, end, wide, -1, form);
    if (tests)
        return sum_where(f, tests, has_value, end, wide, 0, form);
    return pairs > 0 ? sum_of(f, end, wide, 1, form)
        : pairs < 0  ? sum_of(f, end, wide, -1, form)
                     : sum_of(f, end, wide, 0, form);
}

/* One function per width and form, not inlined: a compiler would merge them into one with branches in its
 * loops. */
#define LOOP(name, wide, form) \
    static __attribute__((noinline)) int64_t name(const factor *f, int32_t tests, int32_t has_value, \
                                                  int32_t end) \
    { \
        return sum_with(f, tests, has_value, end, wide, form); \
    }

LOOP(values_s8, 0, VALUE)
LOOP(values_s16, 1, VALUE)
LOOP(magnitudes_s8, 0, ABS)
LOOP(magnitudes_s16, 1, ABS)
LOOP(products_s8, 0, PRODUCT)
LOOP(products_s16, 1, PRODUCT)
LOOP(larger_s8, 0, LARGER)
LOOP(larger_s16, 1, LARGER)

static int64_t feature(const factor *f, int32_t tests, int32_t has_value, int32_t end, int32_t wide)
{
    /* cppcheck-suppress uninitvar ; factor_of sets the form */
    switch (f->form) {
    case ABS: return (wide ? magnitudes_s16 : magnitudes_s8)(f, tests, has_value, end);
    case PRODUCT: return (wide ? products_s16 : products_s8)(f, tests, has_value, end);
    case LARGER: return (wide ? larger_s16 : larger_s8)(f, tests, has_value, end);
    default: return (wide ? values_s16 : values_s8)(f, tests, has_value, end);
    }
}

/* Number of samples after t that a factor reads. */
static int32_t reach_of(const me_feature_factor *f)
{
    return me_max(me_max(f->a_first, f->a_less), me_max(f->b_first, f->b_less));
}

/* Sum over the positions whose samples are all inside the window; factors with tests come first. */
static int64_t window_sum(const me_features_s16_params *op, const int32_t *part, const int8_t *x)
{
    const me_feature_factor *f = (const me_feature_factor *)op->factors + part[0];
    factor own[MOST_FACTORS];
    int32_t reach = 0, tests = 0;
    for (int32_t i = 0; i < part[1]; i++) {
        own[i] = factor_of(x, op, f + i);
        tests += f[i].test != 0;
        reach = me_max(reach, reach_of(f + i));
    }
    const int32_t end = op->length - reach, has_value = tests < part[1];
    return feature(own, tests, has_value, end, op->x_wide) >> part[2];
}

/* Number of edges that are <= value: a binary search in 2^n - 1 sorted edges, up to 31. */
INLINE int32_t cell_of(const int32_t *edges, int32_t count, int32_t value)
{
    const int32_t *from = edges;
    if (count >= 31)
        from += value >= from[15] ? 16 : 0;
    if (count >= 15)
        from += value >= from[7] ? 8 : 0;
    if (count >= 7)
        from += value >= from[3] ? 4 : 0;
    if (count >= 3)
        from += value >= from[1] ? 2 : 0;
    return (int32_t)(from - edges) + (value >= *from);
}

/* Counts a window's values in the cells between edges. */
INLINE void count_cells(int32_t *cells, const factor *f, const int32_t *edges, int32_t count, int32_t end,
                        int32_t wide)
{
    const factor own = *f;
    if (own.form == VALUE && !own.a.keep)
        for (int32_t t = 0; t < end; t++)
            cells[cell_of(edges, count, me_load_wide(own.a.first, t, wide) - own.a.zero)]++;
    else
        for (int32_t t = 0; t < end; t++)
            cells[cell_of(edges, count, value_any(&own, t, wide))]++;
}

static __attribute__((noinline)) void cells_s8(int32_t *cells, const factor *f, const int32_t *edges,
                                               int32_t count, int32_t end)
{
    count_cells(cells, f, edges, count, end, 0);
}

static __attribute__((noinline)) void cells_s16(int32_t *cells, const factor *f, const int32_t *edges,
                                                int32_t count, int32_t end)
{
    count_cells(cells, f, edges, count, end, 1);
}

/* Where a window's features are stored. */
typedef struct {
    const me_features_s16_params *op;
    void *y;
    int32_t row, stride, channel;
} target;

static void store(const target *to, int32_t k, int64_t sum)
{
    const int32_t *each = to->op->each + 3 * (k * to->op->channels + to->channel);
    const int64_t offset = (int64_t)each[1] * ((int64_t)1 << (each[2] - 8));
    const int64_t y = (sum * each[0] + offset) >> each[2];
    const int32_t most = to->op->y_wide ? 32767 : 127;
    const int32_t limited = (int32_t)(y < -most - 1 ? -most - 1 : y > most ? most : y);
    me_store_saturated(to->y, to->row + k * to->stride, to->op->y_wide, limited);
}

static void store_cell_sums(const target *to, const me_feature_group *group, const int8_t *x)
{
    const me_features_s16_params *op = to->op;
    const me_feature_factor *f = (const me_feature_factor *)op->factors + group->factor;
    const factor value = factor_of(x, op, f);
    int32_t cells[MOST_EDGES + 1] = { 0 };
    (op->x_wide ? cells_s16 : cells_s8)(cells, &value, op->edges + group->edge, group->edges,
                                        op->length - reach_of(f));
    for (int32_t k = group->first; k < group->first + group->count; k++) {
        int32_t sum = 0;
        for (int32_t i = op->parts[3 * k]; i < op->parts[3 * k + 1]; i++)
            sum += cells[i];
        store(to, k, sum);
    }
}

static void store_predictor(const target *to, const me_feature_group *group, const int8_t *x)
{
    const me_features_s16_params *op = to->op;
    const me_feature_factor *f = (const me_feature_factor *)op->factors + group->factor;
    int64_t r[ME_MOST_ORDER + 1];
    int32_t a[ME_MOST_ORDER + 1];
    for (int32_t lag = 0; lag <= f->a_first; lag++) {
        const me_feature_factor product = { PRODUCT, 0, -1, lag, -1, 0, 0 };
        const factor own = factor_of(x, op, &product);
        r[lag] = feature(&own, 0, 1, op->length - lag, op->x_wide);
    }
    /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): a_first is at least 1 */
    r[0] += (int64_t)f->limit << f->test;
    me_levinson(a, r, f->a_first);
    for (int32_t k = group->first; k < group->first + group->count; k++)
        store(to, k, a[op->parts[3 * k]]);
}

void me_features_s16(const me_features_s16_params *op, const me_features_s16_tile *tile)
{
    const int32_t row = op->length * (1 + op->x_wide), all = tile->n * op->group_count * tile->c;
    for (int32_t i = ME_FIRST(all); i < ME_LAST(all); i++) { /* features are the innermost index */
        const int32_t outer = i / op->group_count;
        const int32_t n = outer / tile->c, c = outer - n * tile->c;
        const me_feature_group *group = (const me_feature_group *)op->groups + (i - outer * op->group_count);
        const me_feature_factor *f = (const me_feature_factor *)op->factors + group->factor;
        const int8_t *x = (const int8_t *)tile->x + outer * row;
        const target to = { op, tile->y, n * op->results * tile->c + c, tile->c, tile->first + c };
        if (group->edges)
            store_cell_sums(&to, group, x);
        else if (f->form == PREDICTOR)
            store_predictor(&to, group, x);
        else
            store(&to, group->first, window_sum(op, op->parts + 3 * group->first, x));
    }
}
