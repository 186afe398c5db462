// SPDX-License-Identifier: MIT
/* SHA-256 (FIPS 180-4), by the chip where it has an engine for it that nobody else uses. */
#ifndef COFFER_SHA_H
#define COFFER_SHA_H

#include <stddef.h>
#include <stdint.h>

#include "fips180.h"	/* the SDK's SHA-256 */

enum { kShaBlockBytes = 64, kShaDigestBytes = 32 };

typedef struct {
	struct sha256 software;
#if defined(ESP_PLATFORM)
	uint32_t block[kShaBlockBytes / 4];	/* what does not fill a block yet */
	uint64_t length;
	uint8_t hasStarted, isHardware, hasBlocks;
#endif
} CofferSha;

void cofferShaStart(CofferSha *sha);
void cofferShaWrite(CofferSha *sha, const uint8_t *bytes, size_t length);
/* Once, and then no more. */
void cofferShaEnd(CofferSha *sha, uint8_t digest[kShaDigestBytes]);
/* Of one that is not ended: it may hold the chip's engine. */
void cofferShaDrop(CofferSha *sha);

#endif
