// SPDX-License-Identifier: MIT
/* See README.md. */
#pragma once
#include "esp_err.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum { SHA2_256 = 1 } esp_sha_type;

COFFER_MUST_USE bool esp_sha_try_lock_engine(esp_sha_type sha_type);
void esp_sha_unlock_engine(esp_sha_type sha_type);
void esp_sha_block(esp_sha_type sha_type, const void *data_block, bool is_first_block);
void esp_sha_read_digest_state(esp_sha_type sha_type, void *digest_state);
