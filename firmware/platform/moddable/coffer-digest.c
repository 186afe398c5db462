// SPDX-License-Identifier: MIT
#include "xsmc.h"
#include "mc.xs.h"
#include "coffer-sha.h"

#include <stdlib.h>

void xs_coffer_sha_destructor(void *data);

void xs_coffer_sha_destructor(void *data)
{
	if (!data)
		return;
	cofferShaDrop(data);
	free(data);
}

static CofferSha *toSha(xsMachine *the)
{
	CofferSha *sha = xsmcGetHostData(xsThis);
	if (!sha) {
		sha = malloc(sizeof(CofferSha));
		if (!sha)
			xsUnknownError("no memory");
		cofferShaStart(sha);
		xsmcSetHostData(xsThis, sha);
	}
	return sha;
}

/* (bytes) */
void xs_coffer_sha_write(xsMachine *the)
{
	CofferSha *sha = toSha(the);
	xsUnsignedValue length;
	uint8_t *bytes;
	xsmcGetBufferReadable(xsArg(0), (void **)&bytes, &length);
	cofferShaWrite(sha, bytes, length);
}

/* (digest): 32 bytes. What comes after it is another hash. */
void xs_coffer_sha_close(xsMachine *the)
{
	CofferSha *sha = toSha(the);
	xsUnsignedValue length;
	uint8_t *digest;
	xsmcGetBufferWritable(xsArg(0), (void **)&digest, &length);
	if (length != kShaDigestBytes)
		xsRangeError("digest: expected 32 bytes");
	cofferShaEnd(sha, digest);
	xsmcSetHostData(xsThis, NULL);
	xs_coffer_sha_destructor(sha);
}
