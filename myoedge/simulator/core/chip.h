// SPDX-License-Identifier: Apache-2.0
// The chip description as the core sees it: one unsigned number a name, set by name from Python.
// No size, rate or latency stands anywhere else in the core.
#pragma once
#include <stdint.h>

/* clang-format off */
#define CHIP_PARAMETERS(X)                                                                       \
    /* memories: address of the first byte, size in bytes */                                     \
    X(l1_base) X(l1_bytes) X(l1_banks)                                                           \
    X(l1_contention)          /* 1: a bank serves one access a cycle; 0: any number */           \
    X(l1_test_and_set_offset) /* alias of L1 whose loads also write -1 */                        \
    X(l2_base) X(l2_bytes)    /* private and shared part, one behind the other */                \
    X(fc_alias_bytes)         /* L2 seen by the fabric controller from address 0 */              \
    X(cluster_alias_bytes)    /* L1 and registers seen by the cluster cores from address 0 */    \
    X(demux_base) X(demux_bytes) /* registers a cluster core reaches without the interconnect */ \
    X(l3_bytes)                                                                                  \
    /* cores */                                                                                  \
    X(cluster_cores) X(fc_hart)                                                                  \
    X(load_use_stall) X(mul_cycles) X(mul_use_stall) X(mulh_cycles) X(mulh_use_stall)            \
    X(div_base_cycles)        /* + leading zeros of the divisor */                               \
    X(div_by_zero_cycles) X(div_use_stall)                                                       \
    X(branch_taken_stall) X(jump_stall) X(misaligned_stall)                                      \
    X(jump_fetches_next)      /* 1: a jump waits for the line of the instruction behind it, too */ \
    X(waits_add)              /* 1: those of an instruction for its lines and a result; 0: at once */ \
    X(misaligned_load_use_stall)                                                                 \
    X(misaligned_store_waits) /* 1: a store is held until L1 takes its second half; 0: it is not */\
    X(address_use_stall)      /* a load whose address the load before it has read */             \
    X(elw_cycles)             /* p.elw on an event that is there already */                      \
    X(wake_cycles)            /* from the event to the next instruction of a sleeping core */    \
    X(counter_csr_cycles)                                                                        \
    /* what the counter of load stalls takes in for each multiplication: cycles, and 1 for waits */\
    X(mul_counted) X(mul_use_counted) X(mulh_counted) X(mulh_use_counted)                        \
    X(outside_counted)        /* 1: the counters 12 to 16 count (bank waits, outside accesses) */ \
    /* accesses outside L1: cycles a core is held, the issue cycle included */                   \
    X(l2_cluster_cycles) X(l2_fc_cycles) X(l1_fc_cycles)                                         \
    X(outer_bytes_per_cycle)  /* of the cluster's connection to L2, each way; 0: no limit */     \
    X(outer_reach_cycles)     /* of an access until it gets there */                             \
    X(demux_cycles)           /* event unit and DMA of the own core */                           \
    X(register_strict)        /* 1: accesses that registers.def excludes are faults; 0: loads of      */\
                              /* write-only registers give 0, stores to read-only ones do nothing   */\
    X(cluster_register_cycles) X(cluster_register_cycles_fc) X(soc_register_cycles_cluster) X(soc_register_cycles_fc)          \
    /* instruction caches */                                                                     \
    X(line_bytes) X(l0_sets) X(l0_ways) X(l1_cache_banks) X(l1_cache_sets) X(l1_cache_ways)      \
    X(fc_cache_sets) X(fc_cache_ways)                                                            \
    X(l0_master_sets)         /* of the cluster's last core */                                   \
    X(l0_refill_cycles)       /* shared cache to the core's own, once the line is there */       \
    X(l1_cache_refill_cycles) /* L2 to the shared cache, once the line is there */               \
    X(l2_line_cycles)         /* a line out of L2 */                                             \
    X(fc_line_cycles)         /* the same for the fabric controller */                           \
    X(fc_cache_refill_cycles)                                                                    \
    /* event unit */                                                                             \
    X(event_unit_bytes)       /* of its window; the DMA's follows: 0x800, pulp-open 0x400 */     \
    X(barriers) X(mutexes) X(software_events)                                                    \
    X(elw_active_cycles)      /* of elw_cycles: those that the counters take as awake */         \
    X(mutex_cycles)           /* p.elw on a free mutex, or a register that nobody waits at */   \
    X(core_start_cycles)      /* from FETCH_EN to a core's first instruction */                  \
    X(fc_wake_cycles)         /* from an event to the instruction behind the FC's wfi */         \
    X(interrupt_cycles)       /* that taking an interrupt holds the FC */                        \
    /* DMA: mchan */                                                                             \
    X(dma_ids) X(dma_core_queue) X(dma_global_queue)                                             \
    X(dma_requests)           /* bursts under way from L2 */                                     \
    X(dma_burst_bytes) X(dma_ports) X(dma_port_bytes) /* ports to L1 a direction */              \
    X(dma_step_cycles)        /* from one state of the machine to the next */                    \
    X(dma_max_bytes)                                                                             \
    /* off-chip memory; cycles of the cluster clock, at clock divider 0 */                       \
    X(l3_cycles_per_byte_x256) X(l3_start_cycles)                                                \
    X(l3_bus_start_cycles)    /* command, address: of the bus, so by its divider */              \
    X(l3_octospi_latency_cycles) /* of the RAM, likewise; pulp-open's controller is told it */   \
    X(l3_write_start_cycles)  /* until the first word has come from L2 */                        \
    X(l3_write_word_cycles)   /* from a word to the next; 0: no limit */                         \
    X(l3_hyper_bus_cycles)    /* of a cycle of pulp-open's controller, without a divider */      \
    X(l3_queue) X(l3_slots)                                                                      \
    /* flash on the chip; periods: of its divided clock; a word: 16 bytes */                     \
    X(mram_bytes)                                                                                \
    X(mram_read_cycles) X(mram_read_periods) /* to the first word */                             \
    X(mram_read_word_cycles)  /* from a word to the next, without a divider */                   \
    X(mram_read_divided_cycles) X(mram_read_free_divider) /* these and a period; from there on a period */ \
    X(mram_read_end_periods)  /* from the last word to the event */                              \
    X(mram_start_cycles)      /* periods to the first word that is programmed or erased */       \
    X(mram_word_cycles)       /* to program or erase a word, whatever the divider; and periods: */ \
    X(mram_program_periods) X(mram_erase_periods)                                                \
    X(mram_trim_periods)      /* a word of 4 bytes */                                            \
    /* what a program may do to the machine it is simulated on */                                \
    X(file_bytes)             /* to read in all, to write in all, and the longest file */        \
    X(print_bytes)            /* to print in all by semihosting */                               \
    X(file_opens) X(output_bytes)                                                                \
    /* NE16; cycles */                                                                            \
    X(ne16_strict)            /* 1: what its platform model runs to no good is a fault */         \
    X(ne16_contention)        /* 1: its accesses wait for banks of L1, and take them */           \
    X(ne16_newer_first)       /* 1: it goes before a device that was scheduled earlier; 0: later */\
    X(ne16_past_wraps)        /* 1: a negative number of cycles is one of a wheel of events; 0: 0 */\
    X(ne16_start_cycles)      /* from TRIGGER to a job's first cycle */                           \
    X(ne16_next_cycles)       /* from the end of a job to the next one's first cycle */           \
    X(ne16_load_cycles)       /* ahead of the inputs of a pass */                                 \
    X(ne16_filter_cycles) X(ne16_pixel_cycles) X(ne16_depthwise_cycles) /* ahead of its weights */\
    X(ne16_drain_cycles)      /* behind them */                                                   \
    /* clock ratios against the cluster, x256 */                                                 \
    X(fc_clock_x256) X(periph_clock_x256)                                                        \
    X(spi_divider_periods)    /* of the peripherals' clock, a unit of an SPI's divider */        \
    X(clock_divider)          /* of the clock whose cycles these are; 0: dividers change nothing */ \
    X(fll_access_cycles)      /* of an access to the clock generators */                         \
    X(reference_cycles)       /* of a period of the 32.768 kHz clock */                          \
    /* power: cycles of the cluster clock */                                                     \
    X(cluster_power_cycles)   /* until the cluster is on */                                      \
    X(deep_sleep_wake_cycles) X(boot_cycles) /* from a wake-up or a reset to the first instruction */
/* clang-format on */

typedef struct {
#define X(name) uint32_t name;
    CHIP_PARAMETERS(X)
#undef X
} Chip;
