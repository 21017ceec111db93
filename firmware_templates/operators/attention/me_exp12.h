/* SPDX-License-Identifier: Apache-2.0
 * Attention with 12-bit exponentials.
 */
#define ME_EXP12 1
