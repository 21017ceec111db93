#ifndef BSP_RAM_H
#define BSP_RAM_H
#include "pmsis.h"

struct pi_default_ram_conf {
    uint32_t baudrate;
};
typedef struct {
    uint32_t ticket, under_way, writes;
} pi_cl_ram_req_t;
void pi_default_ram_conf_init(struct pi_default_ram_conf *conf);
int pi_ram_open(struct pi_device *device);
void pi_ram_close(struct pi_device *device);
int pi_ram_free(struct pi_device *device, uint32_t address, uint32_t size);
int pi_ram_alloc(struct pi_device *device, uint32_t *address, uint32_t size);
void pi_ram_read(struct pi_device *device, uint32_t address, void *data, uint32_t size);
void pi_ram_write(struct pi_device *device, uint32_t address, void *data, uint32_t size);
void pi_cl_ram_read(struct pi_device *device, uint32_t address, void *data, uint32_t size,
                    pi_cl_ram_req_t *req);
void pi_cl_ram_write(struct pi_device *device, uint32_t address, void *data, uint32_t size,
                     pi_cl_ram_req_t *req);
void pi_cl_ram_read_wait(pi_cl_ram_req_t *req);
void pi_cl_ram_write_wait(pi_cl_ram_req_t *req);
#endif
