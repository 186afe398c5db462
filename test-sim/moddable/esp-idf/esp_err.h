// SPDX-License-Identifier: MIT
/* See README.md. */
#pragma once

typedef int esp_err_t;

enum {
	ESP_FAIL = -1,
	ESP_OK = 0,
	ESP_ERR_NO_MEM = 0x101,
	ESP_ERR_INVALID_ARG = 0x102,
	ESP_ERR_NOT_FOUND = 0x105,
	ESP_ERR_NOT_SUPPORTED = 0x106,
	ESP_ERR_TIMEOUT = 0x107,
	ESP_ERR_INVALID_RESPONSE = 0x108,
};

#define COFFER_MUST_USE __attribute__((warn_unused_result))
