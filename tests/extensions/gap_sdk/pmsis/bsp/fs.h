#ifndef BSP_FS_H
#define BSP_FS_H
#include "pmsis.h"

typedef struct {
    int32_t handle, is_open;
} pi_fs_file_t;
typedef struct {
    uint32_t ticket, bytes, under_way;
} pi_cl_fs_req_t;
int pi_fs_mount(struct pi_device *device);
pi_fs_file_t *pi_fs_open(struct pi_device *device, const char *name, int flags);
int32_t pi_fs_read(pi_fs_file_t *file, void *buffer, uint32_t size);
void pi_fs_close(pi_fs_file_t *file);
void pi_cl_fs_copy(pi_fs_file_t *file, uint32_t index, void *buffer, uint32_t size, int32_t ext2loc,
                   pi_cl_fs_req_t *req);
int32_t pi_cl_fs_wait(pi_cl_fs_req_t *req);
extern volatile uint32_t shim_mram_status; /* the register STATUS of MRAM */
#endif
