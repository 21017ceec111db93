/* SPDX-License-Identifier: Apache-2.0
 * Networks on the cluster of GAP9, asked for by the fabric controller, out of PMSIS.
 *
 *   static me_gap gesture;
 *   me_open(&gesture, &gesture_info, 0);
 *   me_start(&gesture, in, out, 0, 0);   the cluster computes, the fabric controller goes on
 *   me_wait();                           it sleeps until the run has ended
 *
 * Cores       a run takes all nine cores of the cluster: 0 .. 7 compute, 8 steers, moves data and helps.
 *             The functions here are for the fabric controller.
 * Stacks      ME_STACK_BYTES for each of cores 0 .. 7 (from pi_cl_l1_malloc), ME_CONTROL_STACK_BYTES for
 *             core 8 (by the cluster's driver); 0.5 kB of the caller's own.
 * L1          buffers of the network, static (<PREFIX>_L1_BYTES), 1 kB of this file and of
 *             pmsis_runtime.c, and the stacks.
 * Interrupts  stay on. The end of a run is an interrupt of the fabric controller, in which `done` is
 *             called: it may set flags and push events, but not call the functions here.
 * DMA         up to 16 commands of the cluster's DMA at a time, by core 8; with weights in L3 up to 16
 *             requests of the RAM's driver, which takes its uDMA channel. No channel is used between runs.
 * Re-entrancy one run at a time, of whatever network: me_start returns ME_BUSY while there is one. Other
 *             cluster tasks wait their turn in the driver's queue.
 * Clocks      me_open sets the chip's voltage, then the cluster's clock, to the network's operating point; of
 *             several open networks, to the highest one. The clocks of fabric controller and peripherals are
 *             the program's: at most that of the point, set before me_open.
 * Power       the cluster stays on from me_open to me_close. With ME_POWER_PAD that pad is high during runs.
 */
#ifndef ME_GAP_H
#define ME_GAP_H

#include <stdbool.h>
#include <stdint.h>

#include "me_network_info.h"
#include "pmsis.h"
#ifdef ME_MRAM_WEIGHTS
#include "bsp/fs.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define ME_CONTROL_STACK_BYTES 2048u

/* cluster   opened by the program, with ME_CONTROL_STACK_BYTES; 0: me_open opens it
 * point     operating point instead of the network's; 0: that of the network
 * l3_file   name of the network's l3.bin in the flash's read-only file system; 0: "l3.bin"
 * mram_file the same of mram.bin in the file system of MRAM, with ME_MRAM_WEIGHTS; 0: "mram.bin" */
typedef struct {
    struct pi_device *cluster;
    const me_operating_point *point;
    const char *l3_file, *mram_file;
} me_gap_options;

/* An open network, in the caller's memory. */
typedef struct {
    const me_network_info *of;
    uint32_t l3_base;
#ifdef ME_MRAM_WEIGHTS
    pi_fs_file_t *mram_file;
#endif
} me_gap;

/* Called in the interrupt at the end of a run. */
typedef void (*me_done)(void *argument);

/* Prepares what a network needs: the cluster (for the first network), voltage, the cluster's clock, stacks, and L3,
 * filled from the flash. options may be 0. -> ME_NO_CLOCK if the SDK refuses voltage or clock, or if fabric
 * controller or peripherals run faster than the operating point. */
me_status me_open(me_gap *gap, const me_network_info *of, const me_gap_options *options);

/* Starts a run. in and out and their buffers must not be changed until its end; the buffers are in L2,
 * at multiples of 4. done may be 0. */
me_status me_start(const me_gap *gap, const void *const in[], void *const out[], me_done done,
                   void *argument);

/* Sleeps until the run has ended. -> ME_OK; ME_WRONG_CORE if cluster tasks start on a core other than 8;
 * ME_STACK if a stack has overflowed; ME_DAMAGED if weights in MRAM have an error that its ECC does not correct. Without a run, the result of the last one. */
me_status me_wait(void);

/* Whether the last words of the stacks of cores 0 .. 7 are unchanged since me_open. */
bool me_stacks_intact(void);

bool me_is_running(void);

/* Loads another model into an open network that was built with --weights-blob: <prefix>_load, with its part of
 * L3. Not during a run. Without --weights-blob: ME_WRONG_LAYOUT. */
me_status me_load_model(const me_gap *gap, const me_blob *blob);

/* <prefix>_check of an open network that was built with --checks, with its part of L3: compares a slice of its
 * constants. Not during a run. Returns ME_OK, ME_DAMAGED, or ME_FAILED without --checks. */
int me_check_slice(const me_gap *gap, int32_t slice);

/* Releases what me_open allocated; with the last network, the cluster too. Not during a run. */
void me_close(me_gap *gap);

/* Defined once by the program: data that all its networks share, as large as the largest network needs. The first
 * one if network.c is compiled with ME_SHARED_L1. */
#define ME_GAP_BUFFERS(l1_bytes) PI_L1 __attribute__((aligned(16))) int8_t me_l1[l1_bytes]
#define ME_GAP_MARKS(layers) PI_L1 volatile uint32_t me_marks[(layers) + 2]

#ifdef __cplusplus
}
#endif

#endif
