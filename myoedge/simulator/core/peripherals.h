// SPDX-License-Identifier: Apache-2.0
// State of what lies outside the cluster and is slow: it shares one actor. Part of devices.h.
#pragma once

// ---- peripherals.c: what is to happen when
enum Due { DUE_INTERRUPT, DUES };
void due_at(Machine *m, int which, Cycle when); // replaces an earlier plan; NEVER: none
void peripherals_due(Machine *m);
void peripherals_new(Machine *m);

typedef struct {
    Cycle due[DUES];
} Peripherals;
