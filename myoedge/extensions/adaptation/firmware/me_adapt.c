/* SPDX-License-Identifier: Apache-2.0 */
#include "me_adapt.h"
#include "me_adapt_state.h"
#include "me_adapt_take.h"

#define MOST_WINDOWS 32768
#define HELD_BACK_EACH 4
#define LEAST_CLASSES 2
#define UPDATES 768
#define LAST_UPDATES 256

me_adapt_state me_adapt;
void (*me_adapt_progress)(void);

void me_adapt_go_on(void)
{
    if (me_adapt_progress)
        me_adapt_progress();
}

void me_adapt_take_features(const int8_t *features)
{
    for (int32_t i = 0; i < me_adapt_of.features; i++)
        me_adapt_of.window[i] = features[i];
}

void me_adapt_take_decision(int32_t decision) { me_adapt.decision = decision; }

/* number 0: the classifier in force, 1: the candidate that is evaluated. -> the class with the largest
 * score weights . x + bias, the first of equal scores; scores fit int32 */
static int32_t classify(int32_t number, const int8_t *features)
{
    const int32_t size = me_adapt_of.features, offset = me_adapt_of.zero_point;
    const int16_t *weights = me_adapt_of.weights + number * me_adapt_of.classes * size;
    int32_t best = 0, highest = 0;
    for (int32_t label = 0; label < me_adapt_of.classes; label++, weights += size) {
        int32_t score = me_adapt.bias[number][label];
        if (score != ME_ADAPT_NEVER)
            for (int32_t i = 0; i < size; i++)
                score += weights[i] * (features[i] - offset);
        if (label == 0 || score > highest) {
            best = label;
            highest = score;
        }
    }
    return best;
}

int32_t me_adapt_acts(void) { return me_adapt.in_force != 0; }

int32_t me_adapt_class(void)
{
    return me_adapt.in_force ? classify(0, me_adapt_of.window) : me_adapt.decision;
}

int32_t me_adapt_network_class(void) { return me_adapt.decision; }

void me_adapt_reset(void) { me_adapt.in_force = me_adapt.normed = me_adapt.method = 0; }

static void clear(int32_t *numbers, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        numbers[i] = 0;
}

int32_t me_adapt_begin(int32_t method)
{
    if (method < ME_ADAPT_PROTOTYPES || method > ME_ADAPT_NORM || !(me_adapt_of.methods >> method & 1))
        return ME_FAILED;
    const int32_t classes = me_adapt_of.classes, size = me_adapt_of.features;
    me_adapt.method = method;
    me_adapt.windows = me_adapt.right = me_adapt.pseudo = 0;
    clear(me_adapt.came, classes);
    clear(me_adapt.held, classes);
    clear(me_adapt.counts, classes);
    if (method == ME_ADAPT_HEAD)
        me_adapt_head_begin();
    else if (method == ME_ADAPT_NORM)
        me_adapt_norm_begin();
    else
        clear(me_adapt_of.sums, classes * size);
    if (method == ME_ADAPT_LDA)
        clear(me_adapt_of.products, me_adapt_row(size));
    return 0;
}

/* Adds a window to the sums. The products x * y fit int32 because x and y are at most 255. */
static void add_to_sums(const int8_t *window, int32_t label)
{
    const int32_t size = me_adapt_of.features, zero_point = me_adapt_of.zero_point;
    int32_t *sums = me_adapt_of.sums + label * size, *products = me_adapt_of.products;
    me_adapt.counts[label]++;
    for (int32_t i = 0; i < size; i++)
        sums[i] += window[i] - zero_point;
    if (me_adapt.method != ME_ADAPT_LDA)
        return;
    for (int32_t i = 0; i < size; i++, products += i) {
        const int32_t x = window[i] - zero_point;
        for (int32_t j = 0; x != 0 && j <= i; j++)
            products[j] += x * (window[j] - zero_point);
    }
}

static void add_to_training(const int8_t *window, int32_t label)
{
    if (me_adapt.method == ME_ADAPT_HEAD)
        me_adapt_head_store(window, label);
    else
        add_to_sums(window, label);
}

static int8_t *held_window(int32_t label, int32_t place)
{
    return me_adapt_of.held + (label * me_adapt_of.held_back + place) * me_adapt_of.features;
}

int32_t me_adapt_takes(int32_t label)
{
    const int32_t is_class = label >= 0 && label < me_adapt_of.classes;
    const int32_t is_pseudo = label == ME_ADAPT_PSEUDO && me_adapt_of.scores;
    const int32_t is_label = is_class || is_pseudo || me_adapt.method == ME_ADAPT_NORM;
    return me_adapt.method && is_label && me_adapt.windows < MOST_WINDOWS ? ME_OK : ME_FAILED;
}

int32_t me_adapt_window(int32_t label)
{
    if (me_adapt_takes(label) < 0)
        return ME_FAILED;
    if (label == ME_ADAPT_PSEUDO && me_adapt.method != ME_ADAPT_NORM) {
        me_adapt.pseudo = 1;
        label = me_adapt_pseudo_label();
        if (label < 0)
            return ME_FAILED;
    }
    me_adapt.windows++;
    if (me_adapt.method == ME_ADAPT_NORM) {
        me_adapt_norm_add();
        return 0;
    }
    const int32_t number = me_adapt.came[label]++, place = me_adapt.held[label];
    if (number % HELD_BACK_EACH != HELD_BACK_EACH - 1 || place >= me_adapt_of.held_back) {
        add_to_training(me_adapt_of.window, label);
        return 0;
    }
    int8_t *held = held_window(label, place);
    for (int32_t i = 0; i < me_adapt_of.features; i++)
        held[i] = me_adapt_of.window[i];
    me_adapt.held[label]++;
    me_adapt.right += me_adapt_class() == label;
    return 1;
}

static void fit(int32_t updates)
{
    if (me_adapt.method == ME_ADAPT_PROTOTYPES)
        me_adapt_fit_prototypes();
    else if (me_adapt.method == ME_ADAPT_LDA)
        me_adapt_fit_lda();
    else
        me_adapt_head_train(updates);
}

/* The evaluated classifier replaces the one in force. */
static void put_in_force(void)
{
    const int32_t classes = me_adapt_of.classes, numbers = classes * me_adapt_of.features;
    for (int32_t i = 0; i < numbers; i++)
        me_adapt_of.weights[i] = me_adapt_of.weights[numbers + i];
    for (int32_t label = 0; label < classes; label++)
        me_adapt.bias[0][label] = me_adapt.bias[1][label];
    me_adapt.in_force = me_adapt.method;
}

/* Discards the collected features, which belong to the earlier normalisation. */
static int32_t end_norm(void)
{
    if (me_adapt.windows == 0)
        return 0;
    me_adapt_norm_fit();
    me_adapt.in_force = 0;
    return 1;
}

/* Whether `right` of `count` held-back windows are enough. The network itself decided all pseudo-labels,
 * so nine tenths are required. */
static int32_t is_improvement(int32_t right, int32_t count)
{
    return count == 0 || right > me_adapt.right || (me_adapt.pseudo && 10 * right >= 9 * count);
}

static int32_t classes_with_windows(void)
{
    int32_t count = 0;
    for (int32_t label = 0; label < me_adapt_of.classes; label++)
        count += me_adapt.came[label] > 0;
    return count;
}

/* -> 1 if the new classifier replaced the old one */
static int32_t end_classifier(void)
{
    int32_t count = 0, right = 0;
    if (classes_with_windows() < LEAST_CLASSES) /* with one class, every decision would be right */
        return 0;
    fit(UPDATES);
    for (int32_t label = 0; label < me_adapt_of.classes; label++)
        for (int32_t place = 0; place < me_adapt.held[label]; place++, count++)
            right += classify(1, held_window(label, place)) == label;
    const int32_t gained = is_improvement(right, count);
    if (gained) {
        for (int32_t label = 0; label < me_adapt_of.classes; label++)
            for (int32_t place = 0; place < me_adapt.held[label]; place++)
                add_to_training(held_window(label, place), label);
        fit(LAST_UPDATES);
        put_in_force();
    }
    return gained;
}

int32_t me_adapt_end(void)
{
    if (!me_adapt.method)
        return ME_FAILED;
    const int32_t gained = me_adapt.method == ME_ADAPT_NORM ? end_norm() : end_classifier();
    me_adapt.method = 0;
    return gained;
}
