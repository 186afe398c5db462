// SPDX-License-Identifier: MIT
/* ESP-IDF's one engine for SHA-256 played by the SDK's software, as strict as the chip: one owner, blocks are words. */
#include "fips180.h"
#include "sha/sha_parallel_engine.h"

#include <assert.h>
#include <string.h>

static struct sha256 gEngine;
static bool gIsLocked;

bool esp_sha_try_lock_engine(esp_sha_type sha_type)
{
	assert(sha_type == SHA2_256);
	if (gIsLocked)
		return false;
	memset(&gEngine, 0xee, sizeof(gEngine));
	gIsLocked = true;
	return true;
}

void esp_sha_unlock_engine(esp_sha_type sha_type)
{
	assert((sha_type == SHA2_256) && gIsLocked);
	gIsLocked = false;
}

void esp_sha_block(esp_sha_type sha_type, const void *data_block, bool is_first_block)
{
	assert((sha_type == SHA2_256) && gIsLocked && (((uintptr_t)data_block & 3) == 0));
	if (is_first_block)
		sha256_create(&gEngine);
	sha256_update(&gEngine, data_block, 64);
}

void esp_sha_read_digest_state(esp_sha_type sha_type, void *digest_state)
{
	assert((sha_type == SHA2_256) && gIsLocked);
	memcpy(digest_state, gEngine.state, sizeof(gEngine.state));
}
