/* SPDX-License-Identifier: Apache-2.0
 * The network's inputs and outputs for the program that copies them; ports.c is generated for one network.
 */
#ifndef ME_PORTS_H
#define ME_PORTS_H

#include <stdint.h>

/* l2    address in L2; 0 for data in L3
 * l3    otherwise its offset in L3 */
typedef struct {
    uint8_t *l2;
    uint32_t l3, bytes;
} me_port;

extern const me_port me_input_ports[], me_output_ports[];
extern const uint32_t me_input_count, me_output_count;
extern const void *const me_inputs[];
extern void *const me_outputs[];

/* Without a serial line: runs the golden sample. */
extern const void *const me_golden_inputs[], *const me_golden_outputs[];

extern const uint32_t me_layer_count;
extern const uint32_t me_mark_count; /* one mark more than layers, and another one if outputs are copied */

/* "myoedge gap-sdk gap9 " and 64 hexadecimal digits, which identify the build. */
extern const char me_digest[];

#endif
