/* SPDX-License-Identifier: Apache-2.0
 * Description of a network at run time. All of it is constant, and available to the compiler of a program
 * as <PREFIX>_DIGEST and the other macros of <prefix>.h.
 */
#ifndef ME_NETWORK_INFO_H
#define ME_NETWORK_INFO_H

#include <stdint.h>

#include "me_status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ME_NETWORK_FORMAT 3 /* version of these structs and of the generated functions */
#define ME_STACK_BYTES 1280 /* stack that a run needs on each core of GAP9's cluster */

typedef struct me_blob me_blob;

/* Copies `bytes` bytes from offset `at` of the blob. Returns ME_OK, or another value if it failed. */
typedef int32_t (*me_read_fn)(const me_blob *blob, uint32_t at, void *to, uint32_t bytes);

/* Decides whether a blob may be loaded, for example by its signature. Returns ME_OK if it may. */
typedef int32_t (*me_verify_fn)(const me_blob *blob);

/* A file model.blob, in memory, in flash or on a bus.
 * read      called for the whole blob twice: before and while the model is replaced
 * verify    called before anything is replaced, once format, layout and CRC-32 are checked; 0: anyone who can
 *           write a blob can replace the model
 * context   argument of read and verify */
struct me_blob {
    uint32_t bytes;
    me_read_fn read;
    me_verify_fn verify;
    const void *context;
};

/* A blob in memory, with `verify` 0. */
me_blob me_blob_in_memory(const void *blob, uint32_t bytes);

/* An input or output.
 * type    such as "int8_t"      shape   `rank` extents, in the model's own axis order; 0 for a scalar
 * scale   real = scale * (q - zero_point); 0: integers without a scale
 * factors, offsets   for inputs: real = x * factors[i] + offsets[i], with i along factor_axis; 0: real = x
 * factor_count       1: the same factor for all of x */
typedef struct {
    const char *name, *type;
    const int32_t *shape;
    int32_t rank, size_bytes;
    float scale;
    int32_t zero_point;
    const float *factors, *offsets;
    int32_t factor_count, factor_axis;
} me_tensor_info;

/* A clock, and the voltage that allows it. 0: the target has no operating points. */
typedef struct {
    uint32_t clock_hz, millivolts;
} me_operating_point;

/* digest       sha256, in hexadecimal digits, of the network and all of its integers (model.integer_digest in
 *              report.json), as built; <prefix>_loaded has that of the loaded model
 * generator    "myoedge" and its version     format   ME_NETWORK_FORMAT
 * l1_bytes     buffers of operands in L1; 0 without L1
 * l2_bytes     weights, unless they are read in place from flash, activations, inputs and outputs in L2, or in
 *              RAM; without code
 * l3_bytes     size of l3.bin; then l3_map_bytes for activations in L3
 * mram_bytes, mram_crc   size of mram.bin, and its CRC-32
 * stack_bytes  for each core that runs the network
 * point        operating point for which the network was built
 * run          <prefix>_run
 *              (functions return values of me_status.h)
 * load         <prefix>_load; 0 without --weights-blob
 * check        <prefix>_check; 0 without --checks */
typedef struct {
    const char *name, *digest, *generator;
    int32_t format;
    const me_tensor_info *inputs, *outputs;
    int32_t input_count, output_count, layer_count;
    uint32_t l1_bytes, l2_bytes, l3_bytes, l3_map_bytes, mram_bytes, mram_crc, stack_bytes;
    me_operating_point point;
    int (*run)(const void *const in[], void *const out[]);
    me_status (*load)(const me_blob *blob);
    int (*check)(int32_t slice);
} me_network_info;

#ifdef __cplusplus
}
#endif

#endif
