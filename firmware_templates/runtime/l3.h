/* SPDX-License-Identifier: Apache-2.0
 * The external memory (L3). The control core requests transfers and continues; the fabric controller, which
 * sleeps otherwise, runs them one after another, in the order of the requests. The fabric controller may
 * also request transfers while the cluster is idle.
 */
#ifndef ME_L3_H
#define ME_L3_H

#include <stdbool.h>
#include <stdint.h>

#define ME_L3_IN_FLIGHT 32u /* maximum transfers that may be queued before one has to be awaited */

typedef enum { ME_L2_TO_L3 = 0, ME_L3_TO_L2 = 1 } me_l3_direction;

/* l3 is an offset in the memory; both addresses are multiples of 4. -> ticket */
uint32_t me_l3_start(uint32_t l3, void *l2, uint32_t bytes, me_l3_direction direction);

/* Whether me_l3_start would have to wait. */
bool me_l3_full(void);

/* Returns when the transfer of this ticket, and so every earlier one, has ended. */
void me_l3_wait(uint32_t ticket);

/* Copies bytes from L2 to L3, or back, and returns when done. Fabric controller only, while the cluster is
 * idle. */
void me_l3_store(uint32_t l3, void *l2, uint32_t bytes);
void me_l3_fetch(uint32_t l3, void *l2, uint32_t bytes);

/* Copies an open file of the host to the memory, or back. -> bytes copied */
uint32_t me_l3_read(int32_t file, uint32_t l3, uint32_t bytes);
uint32_t me_l3_write(int32_t file, uint32_t l3, uint32_t bytes);

/* Fills the memory from its start with a file of the host. -> whether the file was long enough */
bool me_l3_load(const char *file, uint32_t bytes);

/* For the fabric controller's main loop: */
void me_l3_open(void);
void me_l3_serve(void);
bool me_l3_needs_polling(void);

#endif
