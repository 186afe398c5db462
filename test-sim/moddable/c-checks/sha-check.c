// SPDX-License-Identifier: MIT
/*
 * For coffer-sha.test.ts: "LENGTH PIECE SHIFT" gives the SHA-256 of LENGTH bytes (i * 7 + 3), written PIECE at a time from SHIFT
 * bytes behind a whole word, three times: alone, by two at once, and after one that was given up.
 */
#include "coffer-sha.h"

#include <stdio.h>

enum { kMost = 20000 };

static uint8_t gBytes[kMost + 4] __attribute__((aligned(4)));

static void write(CofferSha *sha, const uint8_t *bytes, size_t length, size_t piece, size_t at)
{
	if (at < length)
		cofferShaWrite(sha, bytes + at, (length - at < piece) ? length - at : piece);
}

static void end(CofferSha *sha)
{
	uint8_t digest[kShaDigestBytes];
	int i;
	cofferShaEnd(sha, digest);
	for (i = 0; i < kShaDigestBytes; i++)
		printf("%02x", digest[i]);
	printf("\n");
}

int main(void)
{
	size_t length, piece, shift, at, i;
	while (scanf("%zu %zu %zu", &length, &piece, &shift) == 3) {
		uint8_t *bytes = gBytes + shift;
		CofferSha one, two, lost;
		for (i = 0; i < length; i++)
			bytes[i] = (uint8_t)(i * 7 + 3);
		cofferShaStart(&one);
		for (at = 0; at < length; at += piece)
			write(&one, bytes, length, piece, at);
		end(&one);
		cofferShaStart(&one);
		cofferShaStart(&two);
		for (at = 0; at < length; at += piece) {
			write(&one, bytes, length, piece, at);
			write(&two, bytes, length, piece, at);
		}
		end(&two);
		cofferShaStart(&lost);
		cofferShaWrite(&lost, bytes, length);
		cofferShaDrop(&lost);
		end(&one);
	}
	return 0;
}
