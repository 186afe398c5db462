// SPDX-License-Identifier: MIT
/* coffer-disk.h on ESP32: FatFs on the SD card, where it differs from what POSIX has a computer do. */
#include "../coffer-disk.h"

#include "esp_heap_caps.h"
#include "esp_vfs_fat.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The small one is for a board without PSRAM, the least for one that has hardly anything left. */
enum { kStageBytes = 32768, kSmallStageBytes = 8192, kLeastStageBytes = 2048 };

/* Whether a file in one piece may still be found on this card. */
static int gHasPieces = 1;

/* The mount point that a path begins with: "/sd" of "/sd/coffer/x". */
static void toMountPoint(const char *path, char *mountPoint)
{
	const char *end = strchr(path + 1, '/');
	size_t length = end ? (size_t)(end - path) : strlen(path);
	memcpy(mountPoint, path, length);
	mountPoint[length] = 0;
}

/*
 * FatFs says "denied", EACCES here, for a full volume, too, when a folder would have to grow or be made. Told apart by
 * the room that is left.
 */
static int creationError(int error, const char *path)
{
	char mountPoint[kMaxPath];
	uint64_t total, available;
	if (error != EACCES)
		return error;
	toMountPoint(path, mountPoint);
	if (esp_vfs_fat_info(mountPoint, &total, &available) != ESP_OK)
		return error;
	return (available == 0) ? ENOSPC : error;
}

int cofferOpen(const char *path, int mode, CofferHandle *into)
{
	static const int flags[] = { O_RDONLY, O_RDWR, O_RDWR | O_CREAT | O_EXCL };
	int fd = open(path, flags[mode], 0600);
	int error = (fd < 0) ? errno : 0;
	*into = fd;
	return (mode == kCreate) ? creationError(error, path) : error;
}

/*
 * An empty file as one piece: its blocks then go to the card one after the other, and its chain is looked up without
 * seeking. FatFs can do that only to a file that it opens itself, so ours is closed and opened again. 0: done; else the
 * ordinary way is left to go, or the file is lost. When there is no such piece FatFs has read the whole table for it, and
 * where its search wraps around it loses clusters, so that is not done twice for one mount.
 */
static int allocatePiece(CofferHandle *handle, const char *path, int64_t size)
{
	char mountPoint[kMaxPath];
	int result;

	if (!gHasPieces)
		return ENOSPC;
	toMountPoint(path, mountPoint);
	result = cofferClose(*handle);
	if (!result)
		result = esp_vfs_fat_create_contiguous_file(mountPoint, path, (uint64_t)size, true);
	*handle = open(path, O_RDWR);
	gHasPieces = result == 0;
	return (*handle < 0) ? errno : (result == 0) ? 0 : ENOSPC;
}

/* FatFs takes clusters when the position passes the end, and clips it when there are no more. */
int cofferExtend(CofferHandle *handle, const char *path, int64_t from, int64_t size)
{
	static const uint8_t zero = 0;
	int64_t after = 0;
	size_t count = 0;
	int error;

	if (from == 0) {
		error = allocatePiece(handle, path, size);
		if (!error || (*handle == COFFER_NO_HANDLE))
			return error;
	}
	error = cofferSeek(*handle, size - 1);
	if (!error)
		error = cofferWriteSome(*handle, &zero, 1, &count);
	if (!error && (count != 1))
		error = ENOSPC;
	if (!error)
		error = cofferSize(*handle, &after);
	return (!error && (after != size)) ? ENOSPC : error;
}

int cofferMakeDirectory(const char *path)
{
	return (mkdir(path, 0700) < 0) ? creationError(errno, path) : 0;
}

/* FatFs has done so when the call that changed a name returned. */
int cofferSyncDirectory(const char *path)
{
	(void)path;
	return 0;
}

/* FatFs says "denied" for a folder with something in it. */
int cofferRemoveDirectory(const char *path)
{
	if (rmdir(path) == 0)
		return 0;
	return (errno == EACCES) ? ENOTEMPTY : errno;
}

int cofferSpace(const char *path, double *both)
{
	uint64_t total, available;
	char mountPoint[kMaxPath];
	esp_err_t result;
	toMountPoint(path, mountPoint);
	result = esp_vfs_fat_info(mountPoint, &total, &available);
	/* Not mounted, or what f_getfree left in errno. */
	if (result != ESP_OK)
		return (result == ESP_FAIL) ? errno : ENODEV;
	both[0] = (double)total;
	both[1] = (double)available;
	return 0;
}

/* Internal memory, which the card's driver reaches by DMA. */
void *cofferStageMemory(size_t *size)
{
	size_t wanted = (heap_caps_get_total_size(MALLOC_CAP_SPIRAM) == 0) ? kSmallStageBytes : kStageBytes;
	for (; wanted >= kLeastStageBytes; wanted /= 2) {
		void *memory = heap_caps_aligned_alloc(4, wanted, MALLOC_CAP_DMA | MALLOC_CAP_INTERNAL);
		*size = wanted;
		if (memory)
			return memory;
	}
	return NULL;
}

void cofferForgetCard(void)
{
	gHasPieces = 1;
}
