/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>

int me_cluster_pass(const void *const in[], void *const out[]);
bool me_serve(void);
