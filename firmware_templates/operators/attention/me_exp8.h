/* SPDX-License-Identifier: Apache-2.0
 * Exponentials of attention are bytes.
 */
#define ME_EXP12 0
