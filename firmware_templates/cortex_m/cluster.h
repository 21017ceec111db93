/* SPDX-License-Identifier: Apache-2.0
 * The only core does what GAP9's cluster does.
 */
#ifndef ME_CLUSTER_H
#define ME_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#define ME_CONTROL_CORE 0

typedef void (*me_work)(int32_t core, void *argument);

/* Runs the network, and sets me_marks; writes the results of all layers to layers.bin: for each the number of
 * the result, its bytes (uint32), and its values; after each inference 0xffffffff, 0.
 * Ends the program if the stack has overflowed. */
void me_cluster_run(me_work work, void *argument);

/* Whether the stack has not overflowed so far. */
bool me_stacks_intact(void);

#endif
