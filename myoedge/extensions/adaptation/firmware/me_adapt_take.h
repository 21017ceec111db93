/* SPDX-License-Identifier: Apache-2.0
 * Functions that the network calls during an inference to pass features and scores to the adaptation.
 */
#ifndef ME_ADAPT_TAKE_H
#define ME_ADAPT_TAKE_H

#include <stdint.h>

#include "me_adapt.h"
#include "me_share.h"

extern int8_t me_adapt_features[];

/* For builds with norm: the original input, the normalised one, and which of them the network reads. */
void me_adapt_norm_rows(const void *input, int32_t first, int32_t last);
int32_t me_adapt_norm_acts(void);
const void *me_adapt_norm_input(const void *input);

/* Before the first layer, by all nine cores: selects the network's input. */
static inline const void *me_adapt_before_network(const void *input, int32_t rows)
{
    if (!me_adapt_norm_acts())
        return input;
#ifdef ME_GAP9
    if (me_core() != ME_CONTROL_CORE)
        me_adapt_norm_rows(input, ME_FIRST(rows), ME_LAST(rows));
    me_barrier_all();
#else
    me_adapt_norm_rows(input, 0, rows);
#endif
    return me_adapt_norm_input(input);
}

/* Means over positions and groups of channels, rounded half up; +128 keeps the division above 0. The last
 * group may have fewer channels. */
static inline void me_adapt_pool(const int8_t *results, int32_t positions, int32_t channels, int32_t group)
{
    const int32_t features = (channels + group - 1) / group;
    for (int32_t i = ME_FIRST(features); i < ME_LAST(features); i++) {
        const int32_t first = i * group, last = first + group < channels ? first + group : channels;
        const int32_t count = positions * (last - first);
        int32_t sum = count / 2;
        for (int32_t at = 0; at < positions; at++)
            for (int32_t channel = first; channel < last; channel++)
                sum += results[at * channels + channel] + 128;
        me_adapt_features[i] = (int8_t)(sum / count - 128);
    }
}

/* After the layer whose results are the features, by all nine cores. Two barriers: one until the results have
 * arrived, one so that the next layer does not overwrite them meanwhile. */
static inline void me_adapt_after_layer(const int8_t *results, int32_t positions, int32_t channels,
                                        int32_t group)
{
#ifdef ME_GAP9
    me_barrier_all();
    if (me_core() != ME_CONTROL_CORE)
        me_adapt_pool(results, positions, channels, group);
    me_barrier_all();
#else
    me_adapt_pool(results, positions, channels, group);
#endif
}

/* After the last layer, by all cores, one of which stores the decision: the first maximum.
 * scores   of the first class; `stride` elements from one class to the next */
#ifdef ME_GAP9
#define ME_ADAPT_NOTES() (me_core() == ME_CONTROL_CORE)
#else
#define ME_ADAPT_NOTES() 1
#endif
#define me_adapt_after_network(scores, count, stride) \
    do { \
        int32_t best = 0; \
        if (!ME_ADAPT_NOTES()) \
            break; \
        for (int32_t i = 0; i < (count); i++) { \
            best = (scores)[i * (stride)] > (scores)[best * (stride)] ? i : best; \
            me_adapt_take_score(i, (scores)[i * (stride)]); \
        } \
        me_adapt_take_decision(best); \
    } while (0)

#endif
