// SPDX-License-Identifier: MIT
/* ESP-IDF's AES played by the SDK's, as strict as the chip: blocks are words. */
#include "aes/esp_aes.h"
#include "fips197.h"

#include <assert.h>
#include <string.h>

enum { kBlock = 16 };

static void encrypt(esp_aes_context *ctx, const uint8_t *from, uint8_t *into)
{
	uint32_t schedule[60];
	int words = ctx->key_bytes / 4;
	assert((((uintptr_t)from | (uintptr_t)into) & 3) == 0);
	aes_keysched(ctx->key, words, 4, words + 6, aes_cipher_encryption, schedule);
	aes_encrypt4(from, into, words + 6, schedule);
}

void esp_aes_init(esp_aes_context *ctx)
{
	memset(ctx, 0, sizeof(*ctx));
}

void esp_aes_free(esp_aes_context *ctx)
{
	memset(ctx, 0, sizeof(*ctx));
}

int esp_aes_setkey(esp_aes_context *ctx, const unsigned char *key, unsigned int keybits)
{
	ctx->key_bytes = (uint8_t)(keybits / 8);
	memcpy(ctx->key, key, ctx->key_bytes);
	return 0;
}

int esp_aes_crypt_ecb(esp_aes_context *ctx, int mode, const unsigned char input[16], unsigned char output[16])
{
	assert(mode == 1);
	encrypt(ctx, input, output);
	return 0;
}

int esp_aes_crypt_ctr(esp_aes_context *ctx, size_t length, size_t *nc_off, unsigned char nonce_counter[16],
	unsigned char stream_block[16], const unsigned char *input, unsigned char *output)
{
	size_t at = *nc_off, i;
	for (i = 0; i < length; i++) {
		if (at == 0) {
			int digit = kBlock;
			encrypt(ctx, nonce_counter, stream_block);
			while ((digit-- > 0) && (++nonce_counter[digit] == 0))
				;
		}
		output[i] = input[i] ^ stream_block[at];
		at = (at + 1) % kBlock;
	}
	*nc_off = at;
	return 0;
}
