// SPDX-License-Identifier: MIT
/*
 * One direction of a TLS 1.2 connection with AES-GCM (RFC 5246 6.2, RFC 5288), a record at a time: header, 8 bytes of nonce,
 * ciphertext, tag. The SDK does this in JavaScript with eight buffers a record. And AES-GCM alone, for sessions.
 */
#include "xsmc.h"
#include "mc.xs.h"
#include "coffer-gcm.h"

#include <stdlib.h>
#include <string.h>

enum {
	kHeaderBytes = 5,
	kSaltBytes = 4,
	kExplicitBytes = 8,		/* of the nonce, sent with the record */
	kAdditionalBytes = 13,
	kOverheadBytes = kHeaderBytes + kExplicitBytes + kGcmTagBytes,
	kVersionMajor = 3,
	kVersionMinor = 3,
};

typedef struct {
	CofferGcmKey key;
	uint8_t nonce[kGcmNonceBytes];
	uint8_t additional[kAdditionalBytes];
	uint64_t number;	/* of the next record */
} CofferRecordsRecord, *CofferRecords;

void xs_coffer_records_destructor(void *data);
void xs_coffer_gcm_destructor(void *data);

static void store64(uint8_t *at, uint64_t value)
{
	int i;
	for (i = 7; i >= 0; i--, value >>= 8)
		at[i] = (uint8_t)value;
}

void xs_coffer_records_destructor(void *data)
{
	if (!data)
		return;
	cofferGcmEnd(&((CofferRecords)data)->key);
	free(data);
}

void xs_coffer_gcm_destructor(void *data)
{
	xs_coffer_records_destructor(data);
}

static CofferRecords startRecords(xsMachine *the)
{
	CofferRecords records;
	xsUnsignedValue length;
	uint8_t *bytes;
	int result;

	if (xsmcGetHostData(xsThis))
		xsUnknownError("the key is set");
	records = calloc(1, sizeof(CofferRecordsRecord));
	if (!records)
		xsUnknownError("no memory");
	xsmcSetHostData(xsThis, records);
	xsmcGetBufferReadable(xsArg(0), (void **)&bytes, &length);
	result = cofferGcmStart(&records->key, bytes, length);
	if (result != 0)
		xsRangeError("key: expected 16 or 32 bytes");
	return records;
}

static CofferRecords toRecords(xsMachine *the)
{
	CofferRecords records = xsmcGetHostData(xsThis);
	if (!records)
		xsUnknownError("no key is set");
	return records;
}

/* (key, salt, number): the number of the first record */
void xs_coffer_records_start(xsMachine *the)
{
	CofferRecords records = startRecords(the);
	xsUnsignedValue length;
	uint8_t *salt;

	xsmcGetBufferReadable(xsArg(1), (void **)&salt, &length);
	if (length != kSaltBytes)
		xsRangeError("salt: expected 4 bytes");
	memcpy(records->nonce, salt, kSaltBytes);
	records->number = (uint64_t)xsmcToInteger(xsArg(2));
}

static void setAdditional(CofferRecords records, uint8_t type, size_t length)
{
	uint8_t *additional = records->additional;
	store64(additional, records->number++);
	additional[8] = type;
	additional[9] = kVersionMajor;
	additional[10] = kVersionMinor;
	additional[11] = (uint8_t)(length >> 8);
	additional[12] = (uint8_t)length;
}

/* (type, bytes, into) -> length of the record */
void xs_coffer_records_seal(xsMachine *the)
{
	CofferRecords records = toRecords(the);
	uint8_t type = (uint8_t)xsmcToInteger(xsArg(0));
	xsUnsignedValue length, room;
	uint8_t *bytes, *into;
	int result;

	xsmcGetBufferReadable(xsArg(1), (void **)&bytes, &length);
	xsmcGetBufferWritable(xsArg(2), (void **)&into, &room);
	if ((room < kOverheadBytes) || (length > room - kOverheadBytes) || (length > 16384))
		xsRangeError("into: too short for the record");
	setAdditional(records, type, length);
	/* Any number that is never the same again will do: the SDK's began with 1 at record 0. */
	store64(records->nonce + kSaltBytes, records->number);
	into[0] = type;
	into[1] = kVersionMajor;
	into[2] = kVersionMinor;
	into[3] = (uint8_t)((length + kExplicitBytes + kGcmTagBytes) >> 8);
	into[4] = (uint8_t)(length + kExplicitBytes + kGcmTagBytes);
	memcpy(into + kHeaderBytes, records->nonce + kSaltBytes, kExplicitBytes);
	result = cofferGcmSeal(&records->key, records->nonce, records->additional, kAdditionalBytes, bytes, length,
		into + kHeaderBytes + kExplicitBytes);
	if (result != 0)
		xsUnknownError("AES failed");
	xsmcSetInteger(xsResult, (xsIntegerValue)(length + kOverheadBytes));
}

/* (record) -> length of its plaintext, which is put behind the nonce; -1 when it is not from the peer */
void xs_coffer_records_open(xsMachine *the)
{
	CofferRecords records = toRecords(the);
	xsUnsignedValue length;
	uint8_t *record;
	int result;

	xsmcGetBufferWritable(xsArg(0), (void **)&record, &length);
	if (length < kOverheadBytes) {
		xsmcSetInteger(xsResult, -1);
		return;
	}
	length -= kOverheadBytes;
	setAdditional(records, record[0], length);
	memcpy(records->nonce + kSaltBytes, record + kHeaderBytes, kExplicitBytes);
	record += kHeaderBytes + kExplicitBytes;
	result = cofferGcmOpen(&records->key, records->nonce, records->additional, kAdditionalBytes, record, length, record);
	xsmcSetInteger(xsResult, (result != 0) ? -1 : (xsIntegerValue)length);
}

/* (key) */
void xs_coffer_gcm_start(xsMachine *the)
{
	startRecords(the);
}

static void takeNonce(xsMachine *the, CofferRecords records)
{
	xsUnsignedValue length;
	uint8_t *nonce;
	xsmcGetBufferReadable(xsArg(0), (void **)&nonce, &length);
	if (length != kGcmNonceBytes)
		xsRangeError("nonce: expected 12 bytes");
	memcpy(records->nonce, nonce, kGcmNonceBytes);
}

/* (nonce, additional, bytes, into): ciphertext and tag */
void xs_coffer_gcm_seal(xsMachine *the)
{
	CofferRecords records = toRecords(the);
	xsUnsignedValue additionalLength, length, room;
	uint8_t *additional, *bytes, *into;
	int result;

	takeNonce(the, records);
	xsmcGetBufferReadable(xsArg(1), (void **)&additional, &additionalLength);
	xsmcGetBufferReadable(xsArg(2), (void **)&bytes, &length);
	xsmcGetBufferWritable(xsArg(3), (void **)&into, &room);
	if ((room < kGcmTagBytes) || (length != room - kGcmTagBytes))
		xsRangeError("into: expected 16 bytes more than there are");
	result = cofferGcmSeal(&records->key, records->nonce, additional, additionalLength, bytes, length, into);
	if (result != 0)
		xsUnknownError("AES failed");
}

/* (nonce, additional, sealed, into) -> whether the tag is right */
void xs_coffer_gcm_open(xsMachine *the)
{
	CofferRecords records = toRecords(the);
	xsUnsignedValue additionalLength, length, room;
	uint8_t *additional, *sealed, *into;
	int result;

	takeNonce(the, records);
	xsmcGetBufferReadable(xsArg(1), (void **)&additional, &additionalLength);
	xsmcGetBufferReadable(xsArg(2), (void **)&sealed, &length);
	xsmcGetBufferWritable(xsArg(3), (void **)&into, &room);
	if ((length < kGcmTagBytes) || (room != length - kGcmTagBytes))
		xsRangeError("into: expected 16 bytes less than there are");
	result = cofferGcmOpen(&records->key, records->nonce, additional, additionalLength, sealed, room, into);
	xsmcSetBoolean(xsResult, result == 0);
}
