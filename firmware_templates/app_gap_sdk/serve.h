/* SPDX-License-Identifier: Apache-2.0
 * The board's side of a conversation over the serial line.
 */
#ifndef ME_SERVE_H
#define ME_SERVE_H

#include <stdbool.h>
#include <stdint.h>

/* The network once, with what lies at its inputs; of a stream that is a frame, and outputs are those
 * that it makes ready, zeros behind them. -> false where cluster tasks start elsewhere */
bool me_infer(void);

/* me_run on the cluster. -> 0, or less where cluster tasks start elsewhere */
int me_cluster_pass(const void *const in[], void *const out[]);

/* Forgets the frames of a stream. */
void me_restart(void);

/* Of a layer; of all from the first layer's start to the last one's end for row me_layer_count. */
uint32_t me_cycles_of(uint32_t row);

/* Says who it is, then answers until the host says that it is over.
 * -> whether the line could be opened */
bool me_serve(void);

#endif
