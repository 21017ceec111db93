/* SPDX-License-Identifier: Apache-2.0
 * Attention with 8-bit exponentials.
 */
#define ME_EXP12 0
