/* SPDX-License-Identifier: Apache-2.0
 * Adaptation to a new session: trains a linear classifier on the network's features, from windows whose
 * labels are given after their inferences. On a host one thread calls it, on the chip the fabric controller.
 *
 *   me_adapt_begin(ME_ADAPT_LDA);
 *   for every window: me_run(in, out); me_adapt_window(label);
 *   me_adapt_end();
 *   from then on:     me_run(in, out); class = me_adapt_class();
 *
 * The NumPy reference is myoedge/extensions/adaptation/: the same integers after every call.
 */
#ifndef ME_ADAPT_H
#define ME_ADAPT_H

#include <stdint.h>

#include "me_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* prototypes   nearest class mean
 * lda          class means and one common covariance
 * head         a linear layer trained by gradient descent, together with stored windows of the training set
 * norm         mean and deviation of the input's channels, without classes and without evaluation */
typedef enum {
    ME_ADAPT_PROTOTYPES = 1,
    ME_ADAPT_LDA = 2,
    ME_ADAPT_HEAD = 3,
    ME_ADAPT_NORM = 4
} me_adapt_method;

/* Starts a session; an unfinished session is discarded. The classifier in force remains.
 * Returns ME_OK, or ME_FAILED if the build does not have this method. */
int32_t me_adapt_begin(int32_t method);

/* Adds the window of the last inference (for a stream, of the last pass) with its class; ME_ADAPT_NORM
 * ignores the class. Every fourth window of a class is held back for evaluation. ME_ADAPT_PSEUDO, in a
 * build with [adapt] pseudo: the class is the network's decision, if it is confident.
 * Returns 0 if the window is used for training, 1 if it is held back. Returns ME_FAILED and ignores the
 * window if there is no session or no such class, if 32,768 windows were added already, or for
 * ME_ADAPT_PSEUDO if the network is not confident or the build has no [adapt] pseudo. */
#define ME_ADAPT_PSEUDO (-2)
int32_t me_adapt_window(int32_t label);

/* Returns ME_OK if the session accepts windows with this label (ME_ADAPT_PSEUDO: if the network is confident),
 * or ME_FAILED. */
int32_t me_adapt_takes(int32_t label);

/* Ends the session. The new classifier comes into force if it classifies more of the held-back windows
 * correctly than the one in force, or agrees with nine tenths of pseudo-labels. If no window was held back
 * (me_adapt_window never returned 1), it comes into force without evaluation; never if the windows had fewer
 * than two classes. ME_ADAPT_NORM: from the next inference on, inputs are normalised and the network itself
 * decides again. Returns 1 if the new classifier or normalisation is in force, 0 if not, ME_FAILED without a
 * session. */
int32_t me_adapt_end(void);

/* me_adapt_end computes for seconds and calls it at least every 10 ms; 0: no call. */
extern void (*me_adapt_progress)(void);

/* Class of the window of the last inference, by the new classifier if one is in force, otherwise by the
 * network. */
int32_t me_adapt_class(void);

/* 1: a new classifier decides; 0: the network. */
int32_t me_adapt_acts(void);

/* The network's own decision in the last inference; for a stream, in the last frame of the pass. */
int32_t me_adapt_network_class(void);

/* Writes the classifier and normalisation in force to a buffer of any alignment with at least
 * me_adapt_saved_bytes() bytes, which is constant: <PREFIX>_ADAPT_SAVED_BYTES in the network's header.
 * Returns the number of bytes written. */
uint32_t me_adapt_saved_bytes(void);
uint32_t me_adapt_save(void *buffer);

/* Restores what me_adapt_save wrote, from a buffer of any alignment; an unfinished session is discarded.
 * Returns ME_OK; or ME_FAILED without any change if size, version or network differ, or if the bytes are damaged. */
int32_t me_adapt_load(const void *buffer, uint32_t bytes);

/* Restores the network as built; an unfinished session is discarded. */
void me_adapt_reset(void);

/* Called by the network with the features and the decision of an inference. */
void me_adapt_take_features(const int8_t *features);
void me_adapt_take_decision(int32_t decision);
void me_adapt_take_score(int32_t label, int32_t score);

#ifdef __cplusplus
}
#endif

#endif
