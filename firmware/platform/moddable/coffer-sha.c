// SPDX-License-Identifier: MIT
/*
 * The ESP32's engine keeps the state of one SHA-256 and cannot be given another, so whoever begins takes it until the end: the
 * first of two uploads has it, the second is hashed in software. ESP-IDF's own users ask for it in the same way.
 */
#include "coffer-sha.h"

#if !defined(ESP_PLATFORM)

void cofferShaStart(CofferSha *sha)
{
	sha256_create(&sha->software);
}

void cofferShaWrite(CofferSha *sha, const uint8_t *bytes, size_t length)
{
	sha256_update(&sha->software, bytes, (uint32_t)length);
}

void cofferShaEnd(CofferSha *sha, uint8_t digest[kShaDigestBytes])
{
	sha256_fin(&sha->software, digest);
}

void cofferShaDrop(CofferSha *sha)
{
	(void)sha;
}

#else

#include <string.h>

#include "sha/sha_parallel_engine.h"

void cofferShaStart(CofferSha *sha)
{
	memset(sha, 0, sizeof(*sha));
	sha256_create(&sha->software);
}

static void hashBlock(CofferSha *sha, const void *block)
{
	esp_sha_block(SHA2_256, block, !sha->hasBlocks);
	sha->hasBlocks = 1;
}

void cofferShaWrite(CofferSha *sha, const uint8_t *bytes, size_t length)
{
	uint8_t *block = (uint8_t *)sha->block;
	size_t filled = (size_t)(sha->length % kShaBlockBytes);

	if (!sha->hasStarted) {
		sha->hasStarted = 1;
		sha->isHardware = esp_sha_try_lock_engine(SHA2_256);
	}
	if (!sha->isHardware) {
		sha256_update(&sha->software, bytes, (uint32_t)length);
		return;
	}
	sha->length += length;
	while (length > 0) {
		size_t count = kShaBlockBytes - filled;
		/* The engine takes words. */
		if ((filled == 0) && (length >= kShaBlockBytes) && (((uintptr_t)bytes & 3) == 0))
			hashBlock(sha, bytes);
		else {
			if (count > length)
				count = length;
			memcpy(block + filled, bytes, count);
			filled += count;
			if (filled == kShaBlockBytes)
				hashBlock(sha, block);
		}
		if (filled == kShaBlockBytes)
			filled = 0;
		bytes += count;
		length -= count;
	}
}

void cofferShaEnd(CofferSha *sha, uint8_t digest[kShaDigestBytes])
{
	uint8_t *block = (uint8_t *)sha->block;
	size_t filled = (size_t)(sha->length % kShaBlockBytes);
	uint64_t bits = sha->length * 8;
	uint32_t state[8];
	int i;

	if (!sha->isHardware) {
		sha256_fin(&sha->software, digest);
		return;
	}
	block[filled++] = 0x80;
	if (filled > kShaBlockBytes - 8) {
		memset(block + filled, 0, kShaBlockBytes - filled);
		hashBlock(sha, block);
		filled = 0;
	}
	memset(block + filled, 0, kShaBlockBytes - 8 - filled);
	for (i = 0; i < 8; i++)
		block[kShaBlockBytes - 1 - i] = (uint8_t)(bits >> (8 * i));
	hashBlock(sha, block);
	esp_sha_read_digest_state(SHA2_256, state);
	cofferShaDrop(sha);
	for (i = 0; i < kShaDigestBytes; i++)
		digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

void cofferShaDrop(CofferSha *sha)
{
	if (sha->isHardware)
		esp_sha_unlock_engine(SHA2_256);
	sha->isHardware = 0;
}

#endif
