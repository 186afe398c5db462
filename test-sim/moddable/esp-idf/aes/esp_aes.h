// SPDX-License-Identifier: MIT
/* See README.md. */
#pragma once
#include "esp_err.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
	uint8_t key_bytes;
	uint8_t key[32];
} esp_aes_context;

void esp_aes_init(esp_aes_context *ctx);
void esp_aes_free(esp_aes_context *ctx);
COFFER_MUST_USE int esp_aes_setkey(esp_aes_context *ctx, const unsigned char *key, unsigned int keybits);
COFFER_MUST_USE int esp_aes_crypt_ecb(esp_aes_context *ctx, int mode, const unsigned char input[16], unsigned char output[16]);
COFFER_MUST_USE int esp_aes_crypt_ctr(esp_aes_context *ctx, size_t length, size_t *nc_off, unsigned char nonce_counter[16],
	unsigned char stream_block[16], const unsigned char *input, unsigned char *output);
