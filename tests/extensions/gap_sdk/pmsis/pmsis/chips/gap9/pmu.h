#ifndef PMU_H
#define PMU_H

#include <stdint.h>

typedef enum { PI_PMU_VOLTAGE_DOMAIN_CHIP = 1 } pi_pmu_domain_e;
int pi_pmu_voltage_set(pi_pmu_domain_e domain, uint32_t millivolts);

#endif
