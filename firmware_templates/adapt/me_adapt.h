/* SPDX-License-Identifier: Apache-2.0
 * Adaptation to a new session: windows with labels, after inferences, give a linear classifier of the
 * network's features. On a host by one thread, on the chip by the fabric controller.
 *
 *   me_adapt_begin(ME_ADAPT_LDA);
 *   for every window: me_run(in, out); me_adapt_window(label);
 *   me_adapt_end();
 *   from then on:     me_run(in, out); class = me_adapt_class();
 *
 * The NumPy reference is myoedge/adaptation/: the same integers after every call.
 */
#ifndef ME_ADAPT_H
#define ME_ADAPT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* prototypes   nearest mean of a class
 * lda          class means and one covariance within classes
 * head         a linear layer by gradient descent, with stored windows of the training set
 * norm         mean and deviation of the input's channels, without classes: nobody judges it */
typedef enum {
    ME_ADAPT_PROTOTYPES = 1,
    ME_ADAPT_LDA = 2,
    ME_ADAPT_HEAD = 3,
    ME_ADAPT_NORM = 4
} me_adapt_method;

/* Starts a session; one that was not ended is forgotten. The classifier in force stays.
 * Returns 0, or -1 where the build does not have this method. */
int32_t me_adapt_begin(int32_t method);

/* The window of the last inference, of a stream that of the last pass, belongs to this class; ME_ADAPT_NORM does not look at it. Every fourth
 * window of a class is held back. ME_ADAPT_PSEUDO, in a build with [adapt] pseudo: to the class that the
 * network decided, if it is confident.
 * Returns 0 learnt, 1 held back, -1 not taken: no session, no such class, ME_ADAPT_PSEUDO where the network is not
 * confident or the build has no [adapt] pseudo, or 32,768 windows came already. */
#define ME_ADAPT_PSEUDO (-2)
int32_t me_adapt_window(int32_t label);

/* Returns 0 if the session takes windows with this label, ME_ADAPT_PSEUDO where the network is confident; or -1. */
int32_t me_adapt_takes(int32_t label);

/* Ends the session. The new classifier comes into force if it decides more of the held-back windows
 * rightly than the one in force did, or unjudged if none was held back (me_adapt_window never returned 1); after pseudo-labels, if it
 * agrees with nine tenths of them; never after windows of fewer than two classes. ME_ADAPT_NORM: from the next inference on
 * inputs are normalised, and the network itself decides again. Returns 1 if so, 0 if not, -1 without a
 * session. */
int32_t me_adapt_end(void);

/* What me_adapt_end calls now and then, at least every 10 ms of its seconds; 0: nothing. */
extern void (*me_adapt_progress)(void);

/* Class of the window of the last inference: of the new classifier, or else of the network. */
int32_t me_adapt_class(void);

/* 1: a new classifier decides, 0: the network. */
int32_t me_adapt_acts(void);

/* What the network itself decided in the last inference; of a stream, in the last frame of the pass. */
int32_t me_adapt_network_class(void);

/* Writes classifier and normalisation that are in force to a buffer of any alignment, with room for
 * me_adapt_saved_bytes(), a constant: <PREFIX>_ADAPT_SAVED_BYTES of the network's header. Returns the bytes. */
uint32_t me_adapt_saved_bytes(void);
uint32_t me_adapt_save(void *buffer);

/* Brings what was saved into force, from a buffer of any alignment; a session that was not ended is forgotten. Returns 0, or -1 and changes nothing: another size, version or
 * network, or damaged bytes. */
int32_t me_adapt_load(const void *buffer, uint32_t bytes);

/* Back to the network as it was built; a session that was not ended is forgotten. */
void me_adapt_reset(void);

/* For the network: features and decision of an inference. */
void me_adapt_take_features(const int8_t *features);
void me_adapt_take_decision(int32_t decision);
void me_adapt_take_score(int32_t label, int32_t score);

#ifdef __cplusplus
}
#endif

#endif
