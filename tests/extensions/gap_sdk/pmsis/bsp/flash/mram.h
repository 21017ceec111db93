#ifndef BSP_FLASH_MRAM_H
#define BSP_FLASH_MRAM_H
#include "pmsis.h"

struct pi_mram_conf {
    uint32_t baudrate;
};
void pi_mram_conf_init(struct pi_mram_conf *conf);
#endif
