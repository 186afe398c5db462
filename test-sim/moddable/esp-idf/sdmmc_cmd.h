// SPDX-License-Identifier: MIT
/* See README.md. */
#pragma once
#include "esp_err.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
	uint32_t flags;
	int slot;
	int max_freq_khz;
} sdmmc_host_t;

enum { SDMMC_HOST_FLAG_1BIT = 1 << 0, SDMMC_HOST_FLAG_4BIT = 1 << 1, SDMMC_HOST_FLAG_DEINIT_ARG = 1 << 5 };
enum { SDMMC_FREQ_PROBING = 400, SDMMC_FREQ_HIGHSPEED = 40000 };

typedef struct {
	struct { int serial; } cid;
	struct { int capacity, sector_size; } csd;
	int real_freq_khz;
	uint32_t log_bus_width : 2;
} sdmmc_card_t;

COFFER_MUST_USE esp_err_t sdmmc_card_init(const sdmmc_host_t *host, sdmmc_card_t *out_card);
COFFER_MUST_USE esp_err_t sdmmc_get_status(sdmmc_card_t *card);
COFFER_MUST_USE esp_err_t sdmmc_read_sectors(sdmmc_card_t *card, void *dst, size_t start_sector, size_t sector_count);
