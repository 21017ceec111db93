/* SPDX-License-Identifier: Apache-2.0
 * Kernel calls that are the same in every iteration of a loop: their arguments are written once, before it,
 * and layers refer to them. A network with loops includes this file before me_tiles.h.
 */
#ifndef ME_OWN_CALLS_H
#define ME_OWN_CALLS_H

/* kernel   calls a kernel; 0: the layer has a function of its own for that */
typedef struct {
    void (*kernel)(const void *op, const void *tile);
    const void *op, *tile;
} me_own_call;

/* ME_OWN_ARGUMENTS   defines <layer>_op and <layer>_tile, in L1 from `at` on; other layers share me_op and me_tile
 * ME_OWN_CALL        the initialiser of the layer's me_own_call
 * ME_ROWS            defines a copy in L1, from `at` on, of the rows of a loop's `count` layers, and of one more,
 *                    which the last one takes for the row after it */
#ifdef ME_GAP9
#define ME_OWN_ARGUMENTS(kernel, layer, at) \
    static kernel##_params *const layer##_op = (void *)(at); \
    static kernel##_tile *const layer##_tile = (void *)((at) + sizeof(kernel##_params)); \
    _Static_assert(sizeof(kernel##_params) + sizeof(kernel##_tile) <= 384, "size of arguments: " #kernel)
#define ME_OWN_CALL(kernel, layer, at) { call_##kernel, (at), (at) + sizeof(kernel##_params) }
#define ME_ROWS(name, at, count) \
    static me_layer *const name = (void *)(at); \
    _Static_assert(sizeof(me_layer) <= 56, "size of me_layer")
#else
#define ME_OWN_ARGUMENTS(kernel, layer, at) \
    static kernel##_params layer##_op[1]; \
    static kernel##_tile layer##_tile[1]
#define ME_OWN_CALL(kernel, layer, at) { call_##kernel, layer##_op, layer##_tile }
#define ME_ROWS(name, at, count) static me_layer name[(count) + 1]
#endif

#endif
