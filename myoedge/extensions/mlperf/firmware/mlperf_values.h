/* SPDX-License-Identifier: Apache-2.0
 * Converts bytes of a data set's file to the integers of the network's input, and its output to the numbers
 * that the host reads, with integer arithmetic only; mlperf_network.h has the constants.
 */
#ifndef ME_MLPERF_VALUES_H
#define ME_MLPERF_VALUES_H

#include <stdint.h>

/* value / by, rounded down */
uint64_t me_divided(uint64_t value, uint32_t by);

/* Converts a file of ME_FILE_BYTES to the network's input: each value to the integer to which the reference
 * quantises it. */
void me_take_values(const uint8_t *file);

/* Result i < ME_RESULTS in thousandths, halves rounded up: scale * (q - zero_point) of element i of the output;
 * for a reconstruction, the mean of its squared differences from the file's values. */
int64_t me_result(uint32_t i, const uint8_t *file);

#endif
