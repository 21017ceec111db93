// SPDX-License-Identifier: Apache-2.0
// Xpulpv2: loads and stores with post-increment and with register offsets, and branches against an
// immediate.
#include "handlers.h"

#include "pulp_mem.def"

#include "rows.h"

static const Row rows[] = {
#include "pulp_mem.def"
};
TABLE(memory);
