// SPDX-License-Identifier: MIT
/*
 * AES-GCM from a line to a line, for coffer-gcm.test.ts: "KEY NONCE ADDITIONAL BYTES SHIFT" in hexadecimal (- for none) gives
 * the sealed bytes. SHIFT: how far from a whole word the bytes begin. Opens again in place what it sealed, and not when a
 * bit is changed; says "wrong" when that is not so.
 */
#include "coffer-gcm.h"

#include <stdio.h>
#include <string.h>

enum { kMost = 4096 };

static size_t fromHex(const char *text, uint8_t *into)
{
	size_t count = 0;
	unsigned int byte;
	while ((*text != '-') && (sscanf(text + 2 * count, "%2x", &byte) == 1))
		into[count++] = (uint8_t)byte;
	return count;
}

int main(void)
{
	static char words[4][2 * kMost + 1];
	static uint8_t key[32], nonce[16], additional[kMost];
	static uint8_t bytes[kMost + 32] __attribute__((aligned(4))), sealed[kMost + 32] __attribute__((aligned(4)));
	int shift;

	while (scanf("%8192s %8192s %8192s %8192s %d", words[0], words[1], words[2], words[3], &shift) == 5) {
		CofferGcmKey gcm;
		uint8_t *from = bytes + shift, *into = sealed + shift;
		size_t keyLength = fromHex(words[0], key), i;
		size_t additionalLength = fromHex(words[2], additional), length = fromHex(words[3], from);
		fromHex(words[1], nonce);
		if (cofferGcmStart(&gcm, key, keyLength) || cofferGcmSeal(&gcm, nonce, additional, additionalLength, from, length, into)) {
			printf("failed\n");
			continue;
		}
		for (i = 0; i < length + kGcmTagBytes; i++)
			printf("%02x", into[i]);
		into[length] ^= 1;
		if (!cofferGcmOpen(&gcm, nonce, additional, additionalLength, into, length, into))
			printf(" wrong");
		into[length] ^= 1;
		if (cofferGcmOpen(&gcm, nonce, additional, additionalLength, into, length, into) || memcmp(into, from, length))
			printf(" wrong");
		printf("\n");
		cofferGcmEnd(&gcm);
	}
	return 0;
}
