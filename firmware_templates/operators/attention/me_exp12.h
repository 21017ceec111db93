/* SPDX-License-Identifier: Apache-2.0
 * Exponentials of attention have 12 bits.
 */
#define ME_EXP12 1
