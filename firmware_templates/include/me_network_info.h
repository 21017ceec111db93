/* SPDX-License-Identifier: Apache-2.0
 * What a network says of itself. All of it is constant, and known to the compiler of a program too:
 * <PREFIX>_DIGEST and the other macros of <prefix>.h.
 */
#ifndef ME_NETWORK_INFO_H
#define ME_NETWORK_INFO_H

#include <stdint.h>

#define ME_NETWORK_FORMAT 1 /* of these structs and of the generated functions */
#define ME_STACK_BYTES 1280 /* that a run needs on each core of GAP9's cluster */

/* What <prefix>_load says: a blob that is short or long, of another version of the format, of another
 * layout, or with a wrong CRC-32. */
typedef enum { ME_LOADED, ME_LOAD_SIZE, ME_LOAD_VERSION, ME_LOAD_LAYOUT, ME_LOAD_DAMAGED } me_load_status;

/* An input or output.
 * type    "int8_t", say     shape   `rank` extents, in the model's own axis order; 0 for a scalar
 * scale   real = scale * (q - zero_point); 0: integers that stand for themselves */
typedef struct {
    const char *name, *type;
    const int32_t *shape;
    int32_t rank, size_bytes;
    float scale;
    int32_t zero_point;
} me_tensor_info;

/* digest       of graph and weights, sha256 in hexadecimal digits
 * generator    "myoedge" and its version     format   ME_NETWORK_FORMAT
 * l1_bytes     buffers of operands in L1
 * l2_bytes     weights, activations, inputs and outputs in L2; without code
 * l3_bytes     of l3.bin; behind it l3_map_bytes for activations in L3
 * stack_bytes  of each core that runs the network
 * run          <prefix>_run */
typedef struct {
    const char *name, *digest, *generator;
    int32_t format;
    const me_tensor_info *inputs, *outputs;
    int32_t input_count, output_count, layer_count;
    uint32_t l1_bytes, l2_bytes, l3_bytes, l3_map_bytes, stack_bytes;
    int (*run)(const void *const in[], void *const out[]);
} me_network_info;

#endif
