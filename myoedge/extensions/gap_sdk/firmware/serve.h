/* SPDX-License-Identifier: Apache-2.0
 * The board's side of the protocol over the serial line.
 */
#ifndef ME_SERVE_H
#define ME_SERVE_H

#include <stdbool.h>
#include <stdint.h>

/* Runs the network once on its inputs; for a stream, on one frame: the outputs are the frames that are
 * ready, followed by zeros. -> false if cluster tasks start on another core */
bool me_infer(void);

/* Runs me_run on the cluster. -> 0, or negative if cluster tasks start on another core */
int me_cluster_pass(const void *const in[], void *const out[]);

/* Discards the frames of a stream. */
void me_restart(void);

/* Cycles of a layer; for row me_layer_count, from the first layer's start to the last one's end. */
uint32_t me_cycles_of(uint32_t row);

/* Identifies the build, then answers requests until the host ends the session.
 * -> whether the line could be opened */
bool me_serve(void);

#endif
