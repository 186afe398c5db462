// SPDX-License-Identifier: MIT
/*
 * AES-GCM in place of the SDK's, whose GHASH goes bit by bit and was a third of all instructions of a transfer.
 *
 * GHASH by Shoup's method with 4-bit tables, as McGrew and Viega describe it in "The Galois/Counter Mode of Operation",
 * 4.1, in 32-bit words: the chip has no longer ones. Which entry of the table is read depends on secrets, so where memory is
 * cached its timing tells of them; firmware/DESIGN.md "Speed" says why that is borne.
 */
#include "coffer-gcm.h"

#include <string.h>

#if !defined(ESP_PLATFORM)
	#include "fips197.h"	/* the SDK's AES */
#endif

enum { kBlock = 16 };

/* What the 4 bits that fall off a product's end come to, at its beginning: their multiple of x^128 = 1 + x + x^2 + x^7. */
static const uint16_t gReduction[16] = {
	0x0000, 0x1c20, 0x3840, 0x2460, 0x7080, 0x6ca0, 0x48c0, 0x54e0,
	0xe100, 0xfd20, 0xd940, 0xc560, 0x9180, 0x8da0, 0xa9c0, 0xb5e0,
};

static uint32_t load32(const uint8_t *at)
{
	return ((uint32_t)at[0] << 24) | ((uint32_t)at[1] << 16) | ((uint32_t)at[2] << 8) | at[3];
}

static void store32(uint8_t *at, uint32_t word)
{
	at[0] = (uint8_t)(word >> 24);
	at[1] = (uint8_t)(word >> 16);
	at[2] = (uint8_t)(word >> 8);
	at[3] = (uint8_t)word;
}

#if defined(ESP_PLATFORM)

static int startCipher(CofferGcmKey *key, const uint8_t *bytes, size_t length)
{
	esp_aes_init(&key->aes);
	return esp_aes_setkey(&key->aes, bytes, (unsigned int)length * 8);
}

static int encryptBlock(CofferGcmKey *key, const uint8_t *from, uint8_t *into)
{
	return esp_aes_crypt_ecb(&key->aes, 1, from, into);
}

static int encryptCounted(CofferGcmKey *key, uint8_t counter[kBlock], const uint8_t *from, size_t length, uint8_t *into)
{
	uint8_t stream[kBlock];
	size_t used = 0;
	return esp_aes_crypt_ctr(&key->aes, length, &used, counter, stream, from, into);
}

void cofferGcmEnd(CofferGcmKey *key)
{
	esp_aes_free(&key->aes);
	memset(key, 0, sizeof(*key));
}

#else

static int startCipher(CofferGcmKey *key, const uint8_t *bytes, size_t length)
{
	int words = (int)(length / 4);
	key->rounds = words + 6;
	aes_keysched(bytes, words, 4, key->rounds, aes_cipher_encryption, key->schedule);
	return 0;
}

static int encryptBlock(CofferGcmKey *key, const uint8_t *from, uint8_t *into)
{
	aes_encrypt4(from, into, key->rounds, key->schedule);
	return 0;
}

/* From `counter` on, whose last 4 bytes count. */
static int encryptCounted(CofferGcmKey *key, uint8_t counter[kBlock], const uint8_t *from, size_t length, uint8_t *into)
{
	uint32_t number = load32(counter + 12);
	while (length > 0) {
		uint32_t stream[4], words[4] = { 0 };
		size_t count = (length < kBlock) ? length : kBlock;
		encryptBlock(key, counter, (uint8_t *)stream);
		memcpy(words, from, count);
		words[0] ^= stream[0];
		words[1] ^= stream[1];
		words[2] ^= stream[2];
		words[3] ^= stream[3];
		memcpy(into, words, count);
		store32(counter + 12, ++number);
		from += count;
		into += count;
		length -= count;
	}
	return 0;
}

void cofferGcmEnd(CofferGcmKey *key)
{
	memset(key, 0, sizeof(*key));
}

#endif

int cofferGcmStart(CofferGcmKey *key, const uint8_t *bytes, size_t length)
{
	static const uint8_t zeros[kBlock];
	uint8_t hashKey[kBlock];
	uint32_t (*products)[4] = key->products;
	int i, j, word;

	if (((length != 16) && (length != 32)) || (startCipher(key, bytes, length) != 0) || (encryptBlock(key, zeros, hashKey) != 0))
		return -1;
	/* The first bit is the coefficient of 1, so index 8 is the key itself, and each half of an index times x. */
	memset(products, 0, sizeof(key->products));
	for (word = 0; word < 4; word++)
		products[8][word] = load32(hashKey + 4 * word);
	for (i = 4; i > 0; i >>= 1) {
		uint32_t *from = products[2 * i], *into = products[i];
		uint32_t carry = (from[3] & 1) ? 0xe1000000 : 0;
		into[3] = (from[3] >> 1) | (from[2] << 31);
		into[2] = (from[2] >> 1) | (from[1] << 31);
		into[1] = (from[1] >> 1) | (from[0] << 31);
		into[0] = (from[0] >> 1) ^ carry;
	}
	for (i = 2; i < 16; i <<= 1)
		for (j = 1; j < i; j++)
			for (word = 0; word < 4; word++)
				products[i + j][word] = products[i][word] ^ products[j][word];
	return 0;
}

/* One digit of Horner's rule: what is there times x^4, and the product of the hash key with `digit`. */
#define STEP(digit) { \
		const uint32_t *product = products[digit]; \
		uint32_t over = z3 & 15; \
		z3 = ((z3 >> 4) | (z2 << 28)) ^ product[3]; \
		z2 = ((z2 >> 4) | (z1 << 28)) ^ product[2]; \
		z1 = ((z1 >> 4) | (z0 << 28)) ^ product[1]; \
		z0 = (z0 >> 4) ^ ((uint32_t)gReduction[over] << 16) ^ product[0]; \
	}

/* `hash` and each block of `from` (the last one filled up with zeros): their sum times the hash key. */
static void hashBlocks(const uint32_t (*products)[4], uint32_t hash[4], const uint8_t *from, size_t length)
{
	uint32_t h0 = hash[0], h1 = hash[1], h2 = hash[2], h3 = hash[3];
	while (length > 0) {
		uint32_t z0 = 0, z1 = 0, z2 = 0, z3 = 0, y[4];
		int word;
		if (length >= kBlock) {
			h0 ^= load32(from);
			h1 ^= load32(from + 4);
			h2 ^= load32(from + 8);
			h3 ^= load32(from + 12);
			from += kBlock;
			length -= kBlock;
		}
		else {
			uint8_t last[kBlock] = { 0 };
			memcpy(last, from, length);
			h0 ^= load32(last);
			h1 ^= load32(last + 4);
			h2 ^= load32(last + 8);
			h3 ^= load32(last + 12);
			length = 0;
		}
		y[0] = h0;
		y[1] = h1;
		y[2] = h2;
		y[3] = h3;
		for (word = 3; word >= 0; word--) {
			uint32_t digits = y[word];
			STEP(digits & 15)
			STEP((digits >> 4) & 15)
			STEP((digits >> 8) & 15)
			STEP((digits >> 12) & 15)
			STEP((digits >> 16) & 15)
			STEP((digits >> 20) & 15)
			STEP((digits >> 24) & 15)
			STEP(digits >> 28)
		}
		h0 = z0;
		h1 = z1;
		h2 = z2;
		h3 = z3;
	}
	hash[0] = h0;
	hash[1] = h1;
	hash[2] = h2;
	hash[3] = h3;
}

static void firstCounter(uint8_t counter[kBlock], const uint8_t *nonce)
{
	memcpy(counter, nonce, kGcmNonceBytes);
	store32(counter + kGcmNonceBytes, 1);
}

static int makeTag(CofferGcmKey *key, const uint8_t *nonce, const uint8_t *additional, size_t additionalLength,
	const uint8_t *sealed, size_t length, uint8_t tag[kGcmTagBytes])
{
	const uint32_t (*products)[4] = (const uint32_t (*)[4])key->products;
	uint32_t hash[4] = { 0 };
	uint8_t block[kBlock];
	int i;

	hashBlocks(products, hash, additional, additionalLength);
	hashBlocks(products, hash, sealed, length);
	store32(block, (uint32_t)((uint64_t)additionalLength >> 29));
	store32(block + 4, (uint32_t)additionalLength << 3);
	store32(block + 8, (uint32_t)((uint64_t)length >> 29));
	store32(block + 12, (uint32_t)length << 3);
	hashBlocks(products, hash, block, kBlock);
	firstCounter(block, nonce);
	if (encryptBlock(key, block, tag) != 0)
		return -1;
	for (i = 0; i < 4; i++)
		store32(tag + 4 * i, load32(tag + 4 * i) ^ hash[i]);
	return 0;
}

static int encryptFrom(CofferGcmKey *key, const uint8_t *nonce, const uint8_t *from, size_t length, uint8_t *into)
{
	uint8_t counter[kBlock];
	firstCounter(counter, nonce);
	counter[kBlock - 1] = 2;
	return encryptCounted(key, counter, from, length, into);
}

int cofferGcmSeal(CofferGcmKey *key, const uint8_t nonce[kGcmNonceBytes], const uint8_t *additional, size_t additionalLength,
	const uint8_t *from, size_t length, uint8_t *into)
{
	if (encryptFrom(key, nonce, from, length, into) != 0)
		return -1;
	return makeTag(key, nonce, additional, additionalLength, into, length, into + length);
}

int cofferGcmOpen(CofferGcmKey *key, const uint8_t nonce[kGcmNonceBytes], const uint8_t *additional, size_t additionalLength,
	const uint8_t *from, size_t length, uint8_t *into)
{
	uint8_t tag[kGcmTagBytes], differences = 0;
	int i;

	if (makeTag(key, nonce, additional, additionalLength, from, length, tag) != 0)
		return -1;
	for (i = 0; i < kGcmTagBytes; i++)
		differences |= tag[i] ^ from[length + (size_t)i];
	if (differences)
		return -1;
	return encryptFrom(key, nonce, from, length, into);
}
