// SPDX-License-Identifier: MIT
/*
 * The SD card of a board: SDMMC slot 1, FAT, mounted into the paths of coffer-files.c. Reaches the driver and decides
 * nothing: when to mount, and what a failure means for the device, is for sd-card.ts. Every function answers 0 or the
 * negative of `code * 8 + kind`, as in coffer-files.c, with the kinds of `failure()`.
 *
 * A card that holds no FAT is never touched unless `mount` is told to format it.
 */
#include "xsmc.h"
#include "mc.xs.h"

#include "driver/sdmmc_host.h"
#include "esp_err.h"
#include "esp_heap_caps.h"
#include "esp_vfs_fat.h"
#include "sdmmc_cmd.h"

#include <stdint.h>
#include <string.h>

enum { kNoCard = 1, kNoFileSystem, kNoMemory, kBadPins, kOther };
/* Arguments of mount. */
enum { kPath, kWidth, kClockKhz, kPins, kOpenFiles, kFormat };
enum { kPinCount = 6, kMaxPath = 32, kSectorBytes = 512, kFacts = 4 };
/* Of a card that is formatted: few, long entries in its table. */
enum { kClusterBytes = 32768 };

static sdmmc_card_t *gCard;
static char gPath[kMaxPath];

static int failure(esp_err_t error)
{
	int kind = kOther;
	switch (error) {
		/* Nothing answers, or nothing that is a card. */
		case ESP_ERR_TIMEOUT: case ESP_ERR_NOT_FOUND: case ESP_ERR_INVALID_RESPONSE: case ESP_ERR_NOT_SUPPORTED:
			kind = kNoCard;
			break;
		/* The card answers: it is what is on it that cannot be mounted. */
		case ESP_FAIL: kind = kNoFileSystem; break;
		case ESP_ERR_NO_MEM: kind = kNoMemory; break;
		case ESP_ERR_INVALID_ARG: kind = kBadPins; break;
	}
	return -((error & 0xFFFF) * 8 + kind);
}

/* The argument of pins: 6 signed bytes: clk, cmd, d0, d1, d2, d3; -1 for one that is not used. */
static esp_err_t toSlot(xsMachine *the, sdmmc_slot_config_t *slot)
{
	int8_t *pins;
	xsUnsignedValue length;
	xsmcGetBufferReadable(xsArg(kPins), (void **)&pins, &length);
	if (length != kPinCount)
		xsRangeError("pins: expected 6");
	slot->clk = pins[0];
	slot->cmd = pins[1];
	slot->d0 = pins[2];
	slot->d1 = pins[3];
	slot->d2 = pins[4];
	slot->d3 = pins[5];
#if CONFIG_IDF_TARGET_ESP32
	/* There the pins of slot 1 are wired in the chip, and whatever is asked for is not heard. */
	if ((slot->clk != 14) || (slot->cmd != 15) || (slot->d0 != 2))
		return ESP_ERR_INVALID_ARG;
	if ((slot->width == 4) && ((slot->d1 != 4) || (slot->d2 != 12) || (slot->d3 != 13)))
		return ESP_ERR_INVALID_ARG;
#endif
	return ESP_OK;
}

static void toHost(xsMachine *the, sdmmc_host_t *host, sdmmc_slot_config_t *slot)
{
	int width = xsmcToInteger(xsArg(kWidth));
	int clockKhz = xsmcToInteger(xsArg(kClockKhz));
	if ((width != 1) && (width != 4))
		xsRangeError("width: expected 1 or 4");
	if ((clockKhz < SDMMC_FREQ_PROBING) || (clockKhz > SDMMC_FREQ_HIGHSPEED))
		xsRangeError("clock: expected 400..40000 kHz");
	host->slot = SDMMC_HOST_SLOT_1;
	host->max_freq_khz = clockKhz;
	host->flags = (width == 4) ? (SDMMC_HOST_FLAG_1BIT | SDMMC_HOST_FLAG_4BIT) : SDMMC_HOST_FLAG_1BIT;
	host->flags |= SDMMC_HOST_FLAG_DEINIT_ARG;
	slot->width = (uint8_t)width;
	/* Boards have resistors on the bus or ought to; these help where they are missing. */
	slot->flags = SDMMC_SLOT_FLAG_INTERNAL_PULLUP;
}

/* (path, width, clockKhz, pins, openFiles, format: true when a card without FAT is to be formatted) */
void xs_coffer_card_mount(xsMachine *the)
{
	sdmmc_host_t host = SDMMC_HOST_DEFAULT();
	sdmmc_slot_config_t slot = SDMMC_SLOT_CONFIG_DEFAULT();
	esp_vfs_fat_mount_config_t options = { 0 };
	esp_err_t result;
	int openFiles;

	if (gCard)
		xsUnknownError("card is mounted");
	xsmcToStringBuffer(xsArg(kPath), gPath, sizeof(gPath));
	toHost(the, &host, &slot);
	openFiles = xsmcToInteger(xsArg(kOpenFiles));
	if ((openFiles < 1) || (openFiles > 32))
		xsRangeError("openFiles: expected 1..32");
	result = toSlot(the, &slot);
	if (result == ESP_OK) {
		options.format_if_mount_failed = xsmcToBoolean(xsArg(kFormat));
		options.max_files = openFiles;
		options.allocation_unit_size = kClusterBytes;
		/* Asks the card before every call; the storage port asks when something has failed. */
		options.disk_status_check_enable = false;
		result = esp_vfs_fat_sdmmc_mount(gPath, &host, &slot, &options, &gCard);
		if (result != ESP_OK)
			gCard = NULL;
	}
	xsmcSetInteger(xsResult, result == ESP_OK ? 0 : failure(result));
}

/* Whatever was open must be closed before. The paths end in any case. */
void xs_coffer_card_unmount(xsMachine *the)
{
	esp_err_t result = ESP_OK;
	if (gCard) {
		result = esp_vfs_fat_sdcard_unmount(gPath, gCard);
		gCard = NULL;
	}
	xsmcSetInteger(xsResult, result == ESP_OK ? 0 : failure(result));
}

/* -> whether the card that is mounted answers */
void xs_coffer_card_isThere(xsMachine *the)
{
	xsmcSetBoolean(xsResult, gCard && (sdmmc_get_status(gCard) == ESP_OK));
}

static void toFacts(double *facts, const sdmmc_card_t *card)
{
	facts[0] = (double)(uint32_t)card->cid.serial;
	facts[1] = (double)card->csd.capacity * (double)card->csd.sector_size;
	facts[2] = (double)(1 << card->log_bus_width);
	facts[3] = (double)card->real_freq_khz;
}

/* (into: 4 doubles): serial number, bytes, width and kHz that were agreed upon, of the card that is mounted */
void xs_coffer_card_facts(xsMachine *the)
{
	double facts[kFacts];
	xsUnsignedValue length;
	void *into;
	if (!gCard)
		xsUnknownError("no card is mounted");
	toFacts(facts, gCard);
	xsmcGetBufferWritable(xsArg(0), &into, &length);
	if (length != sizeof(facts))
		xsRangeError("into: expected 32 bytes");
	memcpy(into, facts, sizeof(facts));
}

/*
 * (path, width, clockKhz, pins, facts: 4 doubles, sector: 512 bytes): a card that does not mount, looked at: what it is, and
 * its first sector, which tells what is on it. Nothing is written.
 */
void xs_coffer_card_probe(xsMachine *the)
{
	enum { kProbeFacts = 4, kProbeSector = 5 };
	sdmmc_host_t host = SDMMC_HOST_DEFAULT();
	sdmmc_slot_config_t slot = SDMMC_SLOT_CONFIG_DEFAULT();
	sdmmc_card_t *card = NULL;
	uint8_t *sector = NULL;
	double facts[kFacts];
	xsUnsignedValue length;
	void *into;
	esp_err_t result, ended;

	if (gCard)
		xsUnknownError("card is mounted");
	xsmcGetBufferWritable(xsArg(kProbeFacts), &into, &length);
	if (length != sizeof(facts))
		xsRangeError("facts: expected 32 bytes");
	xsmcGetBufferWritable(xsArg(kProbeSector), &into, &length);
	if (length != kSectorBytes)
		xsRangeError("sector: expected 512 bytes");
	toHost(the, &host, &slot);
	result = toSlot(the, &slot);
	if (result != ESP_OK)
		goto answer;
	card = heap_caps_calloc(1, sizeof(sdmmc_card_t), MALLOC_CAP_INTERNAL);
	sector = heap_caps_malloc(kSectorBytes, MALLOC_CAP_DMA | MALLOC_CAP_INTERNAL);
	if (!card || !sector) {
		result = ESP_ERR_NO_MEM;
		goto release;
	}
	result = sdmmc_host_init();
	if (result != ESP_OK)
		goto release;
	result = sdmmc_host_init_slot(host.slot, &slot);
	if (result == ESP_OK)
		result = sdmmc_card_init(&host, card);
	if ((result == ESP_OK) && (card->csd.sector_size != kSectorBytes))
		result = ESP_ERR_NOT_SUPPORTED;
	if (result == ESP_OK)
		result = sdmmc_read_sectors(card, sector, 0, 1);
	if (result == ESP_OK)
		toFacts(facts, card);
	ended = sdmmc_host_deinit();
	if (result == ESP_OK)
		result = ended;
	/* Both were found good above: nothing is thrown while memory is held. */
	if (result == ESP_OK) {
		xsmcGetBufferWritable(xsArg(kProbeFacts), &into, &length);
		memcpy(into, facts, sizeof(facts));
		xsmcGetBufferWritable(xsArg(kProbeSector), &into, &length);
		memcpy(into, sector, kSectorBytes);
	}
release:
	heap_caps_free(sector);
	heap_caps_free(card);
answer:
	xsmcSetInteger(xsResult, result == ESP_OK ? 0 : failure(result));
}
