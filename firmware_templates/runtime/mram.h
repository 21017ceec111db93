/* SPDX-License-Identifier: Apache-2.0
 * Weights in the flash on the chip (MRAM). The control core requests reads and continues; the fabric
 * controller, which sleeps otherwise, runs them one after another, in parallel with transfers of L3. The
 * fabric controller may also request reads while the cluster is idle.
 */
#ifndef ME_MRAM_READS_H
#define ME_MRAM_READS_H

#include <stdbool.h>
#include <stdint.h>

#define ME_MRAM_IN_FLIGHT 32u /* maximum reads that may be queued before one has to be awaited */

/* mram: offset in the image of the weights' partition, a multiple of 16; l2 and bytes are multiples of 4.
 * -> ticket */
uint32_t me_mram_start(uint32_t mram, void *l2, uint32_t bytes);

/* Whether me_mram_start would have to wait. */
bool me_mram_full(void);

/* Returns when the read of this ticket, and so every earlier one, has ended. */
void me_mram_wait(uint32_t ticket);

/* Returns ME_OK, or ME_DAMAGED if a read since the last call had an error that ECC does not correct: what was
 * computed with its bytes is wrong. Fabric controller only. */
int32_t me_mram_result(void);

/* Opens the flash and writes a file of the host to the weights' partition, unless its image is already there. Fabric
 * controller only. -> whether the file was long enough and its image is in the partition */
bool me_mram_load(const char *file, uint32_t bytes);

/* For the fabric controller's main loop; me_mram_take_events of me_mram.h comes first: */
void me_mram_serve(void);

/* Empties the queue, which is in L1. */
void me_mram_forget(void);

#endif
