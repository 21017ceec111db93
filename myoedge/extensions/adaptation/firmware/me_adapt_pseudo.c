/* SPDX-License-Identifier: Apache-2.0
 * Confidence in the network's decision, with 15 fraction bits; pseudo.py has the formulas.
 */
#include "me_adapt_exponentials.h"
#include "me_adapt_state.h"

void me_adapt_take_score(int32_t label, int32_t score)
{
    if (me_adapt_of.scores)
        me_adapt_of.scores[label] = score;
}

/* Differences of 16-bit scores times multipliers below 2**24 need 64 bits. */
static int32_t confidence(void)
{
    const int32_t *scores = me_adapt_of.scores;
    const int32_t best = scores[me_adapt.decision];
    uint32_t sum = 0;
    if (me_adapt_of.is_probability)
        return (int32_t)((int64_t)(best - me_adapt_of.score_zero_point) * me_adapt_of.score_factor >> 8);
    for (int32_t label = 0; label < me_adapt_of.classes; label++) {
        const int64_t distance = (int64_t)(best - scores[label]) * me_adapt_of.score_factor >> 12;
        sum += distance < ME_ADAPT_EXPONENTIALS ? me_adapt_exponentials[distance] : 0u;
    }
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): the decision's own term is above 0 */
    return (int32_t)((1u << 30) / sum);
}

int32_t me_adapt_pseudo_label(void)
{
    if (!me_adapt_of.scores || confidence() < me_adapt_of.threshold)
        return -1;
    return me_adapt.decision;
}
