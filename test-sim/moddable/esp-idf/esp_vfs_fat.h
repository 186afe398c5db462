// SPDX-License-Identifier: MIT
/* See README.md. */
#pragma once
#include "sdmmc_cmd.h"
#include <stdbool.h>

typedef struct {
	bool format_if_mount_failed;
	int max_files;
	size_t allocation_unit_size;
	bool disk_status_check_enable;
} esp_vfs_fat_mount_config_t;

COFFER_MUST_USE esp_err_t esp_vfs_fat_sdmmc_mount(const char *base_path, const sdmmc_host_t *host_config,
	const void *slot_config, const esp_vfs_fat_mount_config_t *mount_config, sdmmc_card_t **out_card);
COFFER_MUST_USE esp_err_t esp_vfs_fat_sdcard_unmount(const char *base_path, sdmmc_card_t *card);
COFFER_MUST_USE esp_err_t esp_vfs_fat_info(const char *base_path, uint64_t *out_total_bytes, uint64_t *out_free_bytes);
COFFER_MUST_USE esp_err_t esp_vfs_fat_create_contiguous_file(const char *base_path, const char *full_path, uint64_t size,
	bool alloc_now);
