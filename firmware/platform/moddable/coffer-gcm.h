// SPDX-License-Identifier: MIT
/* AES-GCM (NIST SP 800-38D) with a nonce of 12 bytes and a tag of 16. */
#ifndef COFFER_GCM_H
#define COFFER_GCM_H

#include <stddef.h>
#include <stdint.h>

#if defined(ESP_PLATFORM)
	#include "aes/esp_aes.h"
#endif

enum { kGcmNonceBytes = 12, kGcmTagBytes = 16 };

typedef struct {
#if defined(ESP_PLATFORM)
	esp_aes_context aes;	/* of the chip's own AES */
#else
	uint32_t schedule[60];
	int rounds;
#endif
	uint32_t products[16][8][4];	/* of the hash key, each polynomial of degree 3 or less, and x^0, x^4 ... x^28 */
} CofferGcmKey;

/* All return 0, and something else when the cipher fails: then what is in `into` must not be used. */

/* `length`: 16 or 32; else it fails. */
int cofferGcmStart(CofferGcmKey *key, const uint8_t *bytes, size_t length);

/* `into`: `length` bytes of ciphertext and the tag. May be `from`, but must not overlap it otherwise. */
int cofferGcmSeal(CofferGcmKey *key, const uint8_t nonce[kGcmNonceBytes], const uint8_t *additional, size_t additionalLength,
	const uint8_t *from, size_t length, uint8_t *into);

/*
 * `from`: `length` bytes of ciphertext, then the tag. The plaintext goes to `into`, which may be `from`. Fails when the tag is
 * wrong: then `into` is untouched. In a time that does not depend on where the tags differ.
 */
int cofferGcmOpen(CofferGcmKey *key, const uint8_t nonce[kGcmNonceBytes], const uint8_t *additional, size_t additionalLength,
	const uint8_t *from, size_t length, uint8_t *into);

void cofferGcmEnd(CofferGcmKey *key);

#endif
