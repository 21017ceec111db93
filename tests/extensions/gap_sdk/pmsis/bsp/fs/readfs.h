#ifndef BSP_FS_READFS_H
#define BSP_FS_READFS_H
#include "pmsis.h"

struct pi_readfs_conf {
    struct {
        struct pi_device *flash;
        char *partition_name;
    } fs;
};
void pi_readfs_conf_init(struct pi_readfs_conf *conf);
#endif
