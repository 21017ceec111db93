/* SPDX-License-Identifier: Apache-2.0
 * Data shared by the files of the adaptation; myoedge/extensions/adaptation/ has the formulas.
 */
#ifndef ME_ADAPT_STATE_H
#define ME_ADAPT_STATE_H

#include <stdint.h>

#include "me_adapt.h"

#define ME_ADAPT_MEAN_POINT 24
#define ME_ADAPT_NEVER INT32_MIN
#define ME_ADAPT_MOST_CLASSES 64
#define ME_ADAPT_BATCH 16

/* A network's settings and the buffers of its adaptation; a pointer is 0 if no method of the build needs it.
 * methods         bit m is set if the build has method m
 * held_back, kept maximum windows per class that are held back, and that the head stores
 * exponent        head: right shift of its sums to logits
 * digest          of the network
 * replay, replay_labels   windows of the training set [replayed][features], and their classes
 * window          features of the last inference
 * held, stored    [classes][held_back][features], [classes][kept][features]
 * sums            [classes][features]
 * products, factor        lower triangles, row by row
 * inverses        [features]
 * means           [classes + 1][features]: class means, then their centre
 * directions      [classes + 1][features]
 * head, momentum, gradient   [classes][features + 1]
 * weights         of the classifier in force, then of the evaluated one, [classes][features] each
 * channels, inner of the input; inner: distance of channels in elements
 * elements, wide  number of input elements, and whether they are int16
 * point           fraction bits of channel_means and deviations
 * channel_means, deviations   of the calibration samples, [channels]
 * norm_sums, norm [2][channels], see me_adapt_norm.c
 * raw_input, normed_input     [elements]
 * scores          of the last inference, [classes]; 0: no pseudo-labels
 * threshold .. score_zero_point   minimum confidence, and the scale of the scores, see me_adapt_pseudo.c */
typedef struct {
    int32_t features, classes, zero_point, methods, held_back, kept, exponent, replayed;
    uint8_t digest[8];
    const int8_t *replay;
    const uint8_t *replay_labels;
    int8_t *window, *held, *stored;
    int32_t *sums, *products, *factor;
    uint32_t *inverses;
    int64_t *means, *directions;
    int32_t *head, *momentum, *gradient;
    int16_t *weights;
    int32_t channels, inner, elements, input_zero_point, wide, point;
    const int32_t *channel_means, *deviations;
    int64_t *norm_sums;
    int32_t *norm;
    void *raw_input, *normed_input;
    int32_t *scores;
    int32_t threshold, score_factor, is_probability, score_zero_point;
} me_adapt_network;

/* method        of the session; 0: no session
 * decision      of the network in the last inference
 * in_force      method of the classifier in force; 0: the network itself
 * windows       number of windows of the session; came: per class
 * right         number of held-back windows that the classifier in force classifies correctly
 * held          number of held-back windows per class
 * counts, seen  number of windows per class in the sums, and offered to the store
 * normed        whether inputs are normalised
 * pseudo        whether the session has pseudo-labels
 * norm_count    number of elements per channel in norm_sums
 * bias          of the classifier in force, then of the evaluated one */
typedef struct {
    int32_t method, decision, in_force, windows, right, normed, pseudo;
    int32_t came[ME_ADAPT_MOST_CLASSES], held[ME_ADAPT_MOST_CLASSES];
    int32_t counts[ME_ADAPT_MOST_CLASSES], seen[ME_ADAPT_MOST_CLASSES];
    uint32_t random, norm_count;
    int32_t bias[2][ME_ADAPT_MOST_CLASSES];
} me_adapt_state;

extern const me_adapt_network me_adapt_of; /* generated, adapt.c */
extern me_adapt_state me_adapt;

/* First element of a row in a lower triangular matrix. */
static inline int32_t me_adapt_row(int32_t row) { return row * (row + 1) / 2; }

/* floor(a / n), n 1 or more, |a| below 2**62 */
int64_t me_adapt_divide(int64_t a, uint32_t n);

/* Largest integer whose square is at most x, x below 2**62. */
uint32_t me_adapt_root(uint64_t x);

/* Index of the highest set bit, plus 1; 0 for 0. */
int32_t me_adapt_bits(uint64_t x);

/* Means with 24 fraction bits: sums / counts rounded down, 0 without windows; then their centre, the mean
 * of the classes with windows. */
void me_adapt_find_means(void);

/* Computes the classifier to be evaluated from the directions: score of class c =
 * direction c . (x - (mean c + centre) / 2). */
void me_adapt_from_directions(void);

/* Called between two steps of training. */
void me_adapt_go_on(void);

void me_adapt_fit_prototypes(void);
void me_adapt_fit_lda(void);

/* The network's decision, or -1 if its confidence is below the build's threshold. */
int32_t me_adapt_pseudo_label(void);

void me_adapt_norm_begin(void);
void me_adapt_norm_add(void);
void me_adapt_norm_fit(void);

void me_adapt_head_begin(void);
void me_adapt_head_store(const int8_t *window, int32_t label);
void me_adapt_head_train(int32_t updates);

#endif
