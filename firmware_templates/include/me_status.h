/* SPDX-License-Identifier: Apache-2.0
 * Status codes of all functions of the C interface: ME_OK, or a negative code if a function failed.
 * Functions that count return the count, 0 or more, or a negative code as int.
 */
#ifndef ME_STATUS_H
#define ME_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* ME_FAILED         for a reason that the function's description names
 * ME_UNREADABLE     reading a blob or the flash failed
 * ME_DAMAGED        a CRC-32 differs from the recorded one
 * ME_DIFFERENT      a self-test computed other outputs
 * ME_NO_L3          not on the chip: <prefix>_l3 is 0
 *   <prefix>_load and me_load_model; only ME_OK and ME_HALF_LOADED mean that the model was replaced
 * ME_WRONG_SIZE     the blob is too short or too long
 * ME_WRONG_VERSION  no blob, or another version of the format
 * ME_WRONG_LAYOUT   another layout; or a network that was built without --weights-blob
 * ME_REFUSED        `verify` refused the blob
 * ME_HALF_LOADED    `read` failed or returned other bytes than before while the model was being replaced: it is
 *                   neither the old nor the new one; load one of them again
 *   me_gap.h
 * ME_NO_CLUSTER     the cluster does not open
 * ME_NO_MEMORY      no memory for stacks, or for reading l3.bin
 * ME_NO_RAM         the external memory does not open, or is too small
 * ME_NO_FILE        l3.bin is not in the flash, or has another size
 * ME_NO_CLOCK       the SDK refuses voltage or clock, or another clock is above the operating point
 * ME_WRONG_CORE     cluster tasks start on a core other than 8
 * ME_BUSY           a run has not ended yet
 * ME_STACK          a stack has overflowed */
typedef enum {
    ME_OK = 0,
    ME_FAILED = -1,
    ME_UNREADABLE = -2,
    ME_DAMAGED = -3,
    ME_DIFFERENT = -4,
    ME_NO_L3 = -5,
    ME_WRONG_SIZE = -6,
    ME_WRONG_VERSION = -7,
    ME_WRONG_LAYOUT = -8,
    ME_REFUSED = -9,
    ME_HALF_LOADED = -10,
    ME_NO_CLUSTER = -11,
    ME_NO_MEMORY = -12,
    ME_NO_RAM = -13,
    ME_NO_FILE = -14,
    ME_NO_CLOCK = -15,
    ME_WRONG_CORE = -16,
    ME_BUSY = -17,
    ME_STACK = -18
} me_status;

#ifdef __cplusplus
}
#endif

#endif
