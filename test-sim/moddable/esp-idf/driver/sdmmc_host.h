// SPDX-License-Identifier: MIT
/* See ../README.md. */
#pragma once
#include "sdmmc_cmd.h"

typedef int gpio_num_t;

typedef struct {
	gpio_num_t clk, cmd, d0, d1, d2, d3;
	uint8_t width;
	uint32_t flags;
} sdmmc_slot_config_t;

enum { SDMMC_HOST_SLOT_1 = 1, SDMMC_SLOT_FLAG_INTERNAL_PULLUP = 1 << 0 };

#define SDMMC_HOST_DEFAULT() { 0 }
#define SDMMC_SLOT_CONFIG_DEFAULT() { 0 }

COFFER_MUST_USE esp_err_t sdmmc_host_init(void);
COFFER_MUST_USE esp_err_t sdmmc_host_init_slot(int slot, const sdmmc_slot_config_t *slot_config);
COFFER_MUST_USE esp_err_t sdmmc_host_deinit(void);
