// SPDX-License-Identifier: MIT
/*
 * AES-GCM in place of the SDK's, whose GHASH goes bit by bit and was a third of all instructions of a transfer.
 *
 * GHASH with tables of 4 bits, after Shoup (McGrew and Viega, "The Galois/Counter Mode of Operation", 4.1): one for each digit
 * of a 32-bit word, so that what is there moves by whole words, which costs nothing. Which entries are read depends on
 * secrets, so where memory is cached its timing tells of them; docs/board-speed.md says why that is borne.
 */
#include "coffer-gcm.h"

#include <string.h>

#if !defined(ESP_PLATFORM)
	#include "fips197.h"	/* the SDK's AES */
#endif

enum { kBlock = 16 };

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

/* ESP-IDF takes blocks as words: they have to begin at one. */
static int encryptBlock(CofferGcmKey *key, const uint8_t *from, uint8_t *into)
{
	uint32_t words[4];
	int result;
	memcpy(words, from, kBlock);
	result = esp_aes_crypt_ecb(&key->aes, 1, (const uint8_t *)words, (uint8_t *)words);
	memcpy(into, words, kBlock);
	return result;
}

static int encryptCounted(CofferGcmKey *key, uint8_t counter[kBlock], const uint8_t *from, size_t length, uint8_t *into)
{
	uint32_t stream[4];
	size_t used = 0;
	if (length == 0)
		return 0;
	return esp_aes_crypt_ctr(&key->aes, length, &used, counter, (uint8_t *)stream, from, into);
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

static void addStream(uint8_t *into, const uint8_t *from, const uint32_t stream[4])
{
	if ((((uintptr_t)into | (uintptr_t)from) & 3) == 0) {
		const uint32_t *words = (const uint32_t *)(const void *)from;
		uint32_t *sums = (uint32_t *)(void *)into;
		sums[0] = words[0] ^ stream[0];
		sums[1] = words[1] ^ stream[1];
		sums[2] = words[2] ^ stream[2];
		sums[3] = words[3] ^ stream[3];
	}
	else {
		const uint8_t *bytes = (const uint8_t *)stream;
		int i;
		for (i = 0; i < kBlock; i++)
			into[i] = from[i] ^ bytes[i];
	}
}

/* From `counter` on, whose last 4 bytes count. */
static int encryptCounted(CofferGcmKey *key, uint8_t counter[kBlock], const uint8_t *from, size_t length, uint8_t *into)
{
	uint32_t number = load32(counter + 12), stream[4];
	const uint8_t *bytes = (const uint8_t *)stream;
	size_t i;

	for (; length >= kBlock; length -= kBlock, from += kBlock, into += kBlock) {
		encryptBlock(key, counter, (uint8_t *)stream);
		addStream(into, from, stream);
		store32(counter + 12, ++number);
	}
	if (length > 0)
		encryptBlock(key, counter, (uint8_t *)stream);
	for (i = 0; i < length; i++)
		into[i] = from[i] ^ bytes[i];
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
	uint32_t power[4];	/* the hash key and a power of x */
	int bit, digit, word;

	if (((length != 16) && (length != 32)) || (startCipher(key, bytes, length) != 0) || (encryptBlock(key, zeros, hashKey) != 0))
		return -1;
	memset(key->products, 0, sizeof(key->products));
	for (word = 0; word < 4; word++)
		power[word] = load32(hashKey + 4 * word);
	/* The first bit is the coefficient of 1: in a digit, 8 stands for it. */
	for (bit = 0; bit < 32; bit++) {
		uint32_t carry = (power[3] & 1) ? 0xe1000000 : 0;
		for (digit = 0; digit < 16; digit++)
			if (digit & (8 >> (bit & 3)))
				for (word = 0; word < 4; word++)
					key->products[digit][bit >> 2][word] ^= power[word];
		power[3] = (power[3] >> 1) | (power[2] << 31);
		power[2] = (power[2] >> 1) | (power[1] << 31);
		power[1] = (power[1] >> 1) | (power[0] << 31);
		power[0] = (power[0] >> 1) ^ carry;
	}
	return 0;
}

/* Without it the compiler fetches all eight products of a word before it adds the first, and has no registers for them. */
#if defined(__XTENSA__)
	#define SETTLE __asm__ __volatile__("" : "+r"(z0), "+r"(z1), "+r"(z2), "+r"(z3) : : "memory");
#else
	#define SETTLE
#endif

#define ADD(place, digit) { \
		const uint32_t *product = products[digit][place]; \
		z0 ^= product[0]; \
		z1 ^= product[1]; \
		z2 ^= product[2]; \
		z3 ^= product[3]; \
		SETTLE \
	}

/* `hash` and each block of `from` (the last one filled up with zeros): their sum times the hash key. */
static void hashBlocks(const uint32_t (*products)[8][4], uint32_t hash[4], const uint8_t *from, size_t length)
{
	uint8_t last[kBlock] = { 0 };
	const uint8_t *block;
	size_t count;

	for (; length > 0; length -= count, from += count) {
		uint32_t z0 = 0, z1 = 0, z2 = 0, z3 = 0;
		int word;
		block = from;
		count = kBlock;
		if (length < kBlock) {
			count = length;
			memcpy(last, from, count);
			block = last;
		}
		for (word = 3; word >= 0; word--) {
			/* Horner's rule: times x^32. What falls off has x^128, which is 1 + x + x^2 + x^7. */
			uint32_t digits = hash[word] ^ load32(block + 4 * word), over = z3;
			z3 = z2;
			z2 = z1;
			z1 = z0 ^ (over << 31) ^ (over << 30) ^ (over << 25);
			z0 = over ^ (over >> 1) ^ (over >> 2) ^ (over >> 7);
			ADD(0, digits >> 28)
			ADD(1, (digits >> 24) & 15)
			ADD(2, (digits >> 20) & 15)
			ADD(3, (digits >> 16) & 15)
			ADD(4, (digits >> 12) & 15)
			ADD(5, (digits >> 8) & 15)
			ADD(6, (digits >> 4) & 15)
			ADD(7, digits & 15)
		}
		hash[0] = z0;
		hash[1] = z1;
		hash[2] = z2;
		hash[3] = z3;
	}
}

static void firstCounter(uint8_t counter[kBlock], const uint8_t *nonce)
{
	memcpy(counter, nonce, kGcmNonceBytes);
	store32(counter + kGcmNonceBytes, 1);
}

static int makeTag(CofferGcmKey *key, const uint8_t *nonce, const uint8_t *additional, size_t additionalLength,
	const uint8_t *sealed, size_t length, uint8_t tag[kGcmTagBytes])
{
	const uint32_t (*products)[8][4] = (const uint32_t (*)[8][4])key->products;
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
	uint8_t counter[kBlock] __attribute__((aligned(4)));
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
