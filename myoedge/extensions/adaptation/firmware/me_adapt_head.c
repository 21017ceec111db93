/* SPDX-License-Identifier: Apache-2.0
 * Trains a linear layer by gradient descent on stored windows; head.py has the formulas.
 */
#include "me_adapt_exponentials.h"
#include "me_adapt_state.h"

#define SEED 1u
#define FORWARD_SHIFT 8 /* weights have 20 fraction bits; inference uses 12 of them */
#define LIMIT (1 << 22)
#define MOMENTUM_SHIFT 3
#define RATE_SHIFT 3
#define SETTLING 256 /* number of final updates with a smaller step size */
#define SETTLING_SHIFT 6

static int32_t columns_of_head(void) { return me_adapt_of.features + 1; }

void me_adapt_head_begin(void)
{
    const int32_t numbers = me_adapt_of.classes * columns_of_head();
    me_adapt.random = SEED;
    for (int32_t label = 0; label < me_adapt_of.classes; label++)
        me_adapt.seen[label] = 0;
    for (int32_t i = 0; i < numbers; i++)
        me_adapt_of.head[i] = me_adapt_of.momentum[i] = 0;
}

/* -> a random number in [0, below) */
static int32_t draw(int32_t below)
{
    me_adapt.random = me_adapt.random * 1664525u + 1013904223u;
    return (int32_t)((me_adapt.random >> 16) % (uint32_t)below);
}

static int8_t *stored_window(int32_t label, int32_t place)
{
    return me_adapt_of.stored + (label * me_adapt_of.kept + place) * me_adapt_of.features;
}

/* Stores a window (reservoir sampling): the first windows of a class fill its slots, a later one replaces
 * a random slot or is dropped. */
void me_adapt_head_store(const int8_t *window, int32_t label)
{
    int32_t place = me_adapt.seen[label]++;
    if (place >= me_adapt_of.kept)
        place = draw(me_adapt.seen[label]);
    if (place >= me_adapt_of.kept)
        return;
    int8_t *stored = stored_window(label, place);
    for (int32_t i = 0; i < me_adapt_of.features; i++)
        stored[i] = window[i];
}

/* Window number `place` of a minibatch: every second one is taken from the training set. */
static const int8_t *draw_window(int32_t place, int32_t *label)
{
    if (place % 2 && me_adapt_of.replayed > 0) {
        const int32_t number = draw(me_adapt_of.replayed);
        *label = me_adapt_of.replay_labels[number];
        return me_adapt_of.replay + number * me_adapt_of.features;
    }
    int32_t drawn = draw(me_adapt_of.classes);
    while (me_adapt.seen[drawn] == 0)
        drawn = drawn + 1 == me_adapt_of.classes ? 0 : drawn + 1;
    *label = drawn;
    const int32_t seen = me_adapt.seen[drawn];
    return stored_window(drawn, draw(seen < me_adapt_of.kept ? seen : me_adapt_of.kept));
}

/* Replaces logits with 12 fraction bits, one per class, by softmax * 2**15. */
static void softmax(int32_t *z)
{
    /* cppcheck-suppress uninitvar ; every caller sets z for all classes */
    int32_t most = z[0];
    uint32_t sum = 0;
    for (int32_t label = 1; label < me_adapt_of.classes; label++)
        most = z[label] > most ? z[label] : most;
    for (int32_t label = 0; label < me_adapt_of.classes; label++) {
        const int32_t distance = (most - z[label]) >> 8;
        z[label] = distance < ME_ADAPT_EXPONENTIALS ? me_adapt_exponentials[distance] : 0;
        sum += (uint32_t)z[label];
    }
    for (int32_t label = 0; label < me_adapt_of.classes; label++)
        z[label] = (int32_t)(((uint32_t)z[label] << 15) / sum);
}

/* Adds a window's (p - y) * x to the gradient, which fits int32: 2**15 * 2**8 * 16 windows. */
static void add_gradient(const int8_t *window, int32_t label)
{
    const int32_t size = me_adapt_of.features, zero = me_adapt_of.zero_point, one = 1 << me_adapt_of.exponent;
    int32_t errors[ME_ADAPT_MOST_CLASSES];
    const int32_t *head = me_adapt_of.head;
    for (int32_t c = 0; c < me_adapt_of.classes; c++, head += columns_of_head()) {
        int32_t z = (head[size] >> FORWARD_SHIFT) * one;
        for (int32_t i = 0; i < size; i++)
            z += (head[i] >> FORWARD_SHIFT) * (window[i] - zero);
        errors[c] = z >> me_adapt_of.exponent;
    }
    softmax(errors);
    errors[label] -= 32768;
    int32_t *gradient = me_adapt_of.gradient;
    for (int32_t c = 0; c < me_adapt_of.classes; c++, gradient += columns_of_head()) {
        for (int32_t i = 0; i < size; i++)
            gradient[i] += errors[c] * (window[i] - zero);
        gradient[size] += errors[c] * one;
    }
}

static void run_update(int32_t rate_shift)
{
    const int32_t numbers = me_adapt_of.classes * columns_of_head();
    for (int32_t i = 0; i < numbers; i++)
        me_adapt_of.gradient[i] = 0;
    for (int32_t place = 0; place < ME_ADAPT_BATCH; place++) {
        int32_t label;
        const int8_t *window = draw_window(place, &label);
        add_gradient(window, label);
    }
    for (int32_t i = 0; i < numbers; i++) {
        const int32_t before = me_adapt_of.momentum[i];
        const int32_t gradient = me_adapt_of.gradient[i] >> (me_adapt_of.exponent - 1);
        const int32_t momentum = before - (before >> MOMENTUM_SHIFT) + gradient;
        const int32_t moved = me_adapt_of.head[i] - (momentum >> rate_shift);
        me_adapt_of.momentum[i] = momentum;
        me_adapt_of.head[i] = moved < -LIMIT ? -LIMIT : moved > LIMIT - 1 ? LIMIT - 1 : moved;
    }
}

/* Trains the candidate that is evaluated afterwards. */
void me_adapt_head_train(int32_t updates)
{
    const int32_t size = me_adapt_of.features, classes = me_adapt_of.classes;
    int32_t seen = 0;
    for (int32_t label = 0; label < classes; label++)
        seen += me_adapt.seen[label];
    for (int32_t left = updates; left > 0 && seen > 0; left--) {
        run_update(left <= SETTLING ? SETTLING_SHIFT : RATE_SHIFT);
        me_adapt_go_on();
    }
    int16_t *weights = me_adapt_of.weights + classes * size;
    const int32_t *head = me_adapt_of.head;
    for (int32_t label = 0; label < classes; label++, head += columns_of_head()) {
        for (int32_t i = 0; i < size; i++)
            *weights++ = (int16_t)(head[i] >> FORWARD_SHIFT);
        me_adapt.bias[1][label] = (head[size] >> FORWARD_SHIFT) * (1 << me_adapt_of.exponent);
    }
}
