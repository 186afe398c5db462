// SPDX-License-Identifier: MIT
/*
 * POSIX files for the storage port: Linux, and ESP32 over the FAT of its SD card. Reaches the system and decides
 * nothing. Every function answers a number: what was asked for, or the negative of `errno * 8 + kind` with the kinds
 * of `failure()`; coffer-files.ts knows the other end.
 *
 * Sequential access: FatFs' pread and pwrite would seek there and back on every call, so the position is kept here
 * and lseek is called only when it changes.
 *
 * Everything goes through one buffer, the stage. An SD card is fast only when many sectors are written at once, and the
 * driver's DMA does not reach PSRAM, where the engine's buffers are: such a buffer would go to the card one sector at a
 * time. So what is written in a row is collected in internal memory, sector by sector as in the file, and goes out when
 * the stage is full, when anything else is done, or at a flush. Bytes that are lost when they go out are told to whoever
 * wrote them: their file fails from then on. On a host the stage works the same way.
 */
#include "xsmc.h"
#include "mc.xs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#ifdef ESP_PLATFORM
	#include "esp_heap_caps.h"
	#include "esp_vfs_fat.h"
#else
	#include <sys/statvfs.h>
#endif

enum { kNotFound = 1, kExists, kFull, kReadOnly, kNoCard, kOther };
enum { kRead = 0, kUpdate, kCreate };
enum { kMaxPath = 512, kSectorBytes = 512 };
/* Of the stage. The small one is for a board without PSRAM, the least for one that has hardly anything left. */
enum { kStageBytes = 32768, kSmallStageBytes = 8192, kLeastStageBytes = 2048 };
/* FatFs keeps 32-bit signed offsets. */
static const double kMaxOffset = 2147483647.0;

typedef struct {
	int fd;
	off_t position;		/* the system's; -1: not known */
	int error;			/* errno of bytes that were taken and then lost */
	int isWritable;
	char path[];
} CofferFileRecord, *CofferFile;

typedef struct {
	DIR *directory;
	char path[kMaxPath];
} CofferScanRecord, *CofferScan;

/* One for all files. The bytes of `owner` that wait are at `start` in it; they lie `start` % 512 into `bytes`. */
static struct {
	uint8_t *bytes;
	size_t capacity;
	CofferFile owner;
	off_t start;
	size_t used;
} gStage;

void xs_coffer_file_destructor(void *data);
void xs_coffer_scan_destructor(void *data);

static int failure(int error)
{
	int kind = kOther;
	switch (error) {
		case ENOENT: kind = kNotFound; break;
		case EEXIST: kind = kExists; break;
		case ENOSPC: kind = kFull; break;
#ifdef EDQUOT
		case EDQUOT: kind = kFull; break;
#endif
		case EROFS: case EACCES: case EPERM: kind = kReadOnly; break;
		case ENODEV: case ENXIO: kind = kNoCard; break;
	}
	return -(error * 8 + kind);
}

/* Copies argument `index` because the next call into the engine may move strings. */
static void toPath(xsMachine *the, int index, char *path)
{
	xsmcToStringBuffer(xsArg(index), path, kMaxPath);
	if (path[0] == 0)
		xsRangeError("path: empty");
}

/* A whole number in 0..2^31-1. */
static off_t toOffset(xsMachine *the, int index)
{
	double value = xsmcToNumber(xsArg(index));
	if (!(value >= 0) || (value > kMaxOffset) || (value != (double)(off_t)value))
		xsRangeError("position: expected 0..2147483647");
	return (off_t)value;
}

static CofferFile toFile(xsMachine *the)
{
	CofferFile file = xsmcGetHostData(xsThis);
	if (!file)
		xsUnknownError("file is closed");
	return file;
}

/* 0, or errno. */
static int seek(CofferFile file, off_t position)
{
	if (file->position == position)
		return 0;
	if (lseek(file->fd, position, SEEK_SET) != position) {
		file->position = -1;
		return errno ? errno : EIO;
	}
	file->position = position;
	return 0;
}

/* 0, or errno. */
static int prepareStage(void)
{
	size_t size = kStageBytes;
	if (gStage.bytes)
		return 0;
#ifdef ESP_PLATFORM
	if (heap_caps_get_total_size(MALLOC_CAP_SPIRAM) == 0)
		size = kSmallStageBytes;
#endif
	for (; size >= kLeastStageBytes; size /= 2) {
#ifdef ESP_PLATFORM
		gStage.bytes = heap_caps_aligned_alloc(4, size, MALLOC_CAP_DMA | MALLOC_CAP_INTERNAL);
#else
		gStage.bytes = malloc(size);
#endif
		if (gStage.bytes) {
			gStage.capacity = size;
			return 0;
		}
	}
	return ENOMEM;
}

/* Writes what waits in the stage. 0, or errno, which its file keeps. */
static int drainStage(void)
{
	CofferFile file = gStage.owner;
	const uint8_t *bytes;
	size_t done = 0;
	int error;

	if (!file)
		return 0;
	bytes = gStage.bytes + gStage.start % kSectorBytes;
	error = seek(file, gStage.start);
	while (!error && (done < gStage.used)) {
		ssize_t count = write(file->fd, bytes + done, gStage.used - done);
		if (count > 0) {
			done += (size_t)count;
			file->position += count;
		}
		else if ((count == 0) || (errno != EINTR)) {
			error = (count == 0) ? ENOSPC : errno;
			file->position = -1;
		}
	}
	gStage.owner = NULL;
	gStage.used = 0;
	if (error)
		file->error = error;
	return error;
}

/* Before anything that looks at files by name, or at another file. What fails here is its owner's. */
static void settleStage(void)
{
	(void)drainStage();
}

/* Closes the file and says what came of the bytes that waited. The system has let go of it in any case. */
static int closeFile(CofferFile file)
{
	int error = file->error;
	if (gStage.owner == file)
		error = drainStage();
	if ((file->fd >= 0) && (close(file->fd) < 0) && !error)
		error = errno;
	file->fd = -1;
	return error;
}

void xs_coffer_file_destructor(void *data)
{
	CofferFile file = data;
	if (!file)
		return;
	/* Nobody is left to be told. */
	(void)closeFile(file);
	free(file);
}

#ifdef ESP_PLATFORM
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
#else
static int creationError(int error, const char *path)
{
	(void)path;
	return error;
}
#endif

/* (path, mode) */
void xs_coffer_file_open(xsMachine *the)
{
	static const int flags[] = { O_RDONLY, O_RDWR, O_RDWR | O_CREAT | O_EXCL };
	char path[kMaxPath];
	CofferFile file;
	int mode, fd;

	toPath(the, 0, path);
	mode = xsmcToInteger(xsArg(1));
	if ((mode < kRead) || (mode > kCreate))
		xsRangeError("mode: expected 0..2");
	if (xsmcGetHostData(xsThis))
		xsUnknownError("file is open");
	settleStage();
	file = malloc(sizeof(CofferFileRecord) + strlen(path) + 1);
	if (!file) {
		xsmcSetInteger(xsResult, failure(ENOMEM));
		return;
	}
	fd = open(path, flags[mode], 0600);
	if (fd < 0) {
		int error = errno;
		free(file);
		xsmcSetInteger(xsResult, failure(mode == kCreate ? creationError(error, path) : error));
		return;
	}
	file->fd = fd;
	file->position = 0;
	file->error = 0;
	file->isWritable = mode != kRead;
	strcpy(file->path, path);
	xsmcSetHostData(xsThis, file);
	xsmcSetInteger(xsResult, 0);
}

/* -> 0, or a failure: bytes that were written and not flushed may be lost. It is closed in any case. */
void xs_coffer_file_close(xsMachine *the)
{
	CofferFile file = xsmcGetHostData(xsThis);
	int error = 0;
	if (file) {
		xsmcSetHostData(xsThis, NULL);
		error = closeFile(file);
		free(file);
	}
	xsmcSetInteger(xsResult, error ? failure(error) : 0);
}

void xs_coffer_file_size(xsMachine *the)
{
	CofferFile file = toFile(the);
	struct stat status;
	settleStage();
	if (fstat(file->fd, &status) < 0)
		xsmcSetInteger(xsResult, failure(errno));
	else
		xsmcSetNumber(xsResult, (double)status.st_size);
}

/* (into, position) -> bytes read */
void xs_coffer_file_read(xsMachine *the)
{
	CofferFile file = toFile(the);
	off_t position = toOffset(the, 1);
	xsUnsignedValue length, done = 0;
	uint8_t *bytes;
	struct stat status;
	int error;

	xsmcGetBufferWritable(xsArg(0), (void **)&bytes, &length);
	settleStage();
	error = file->error ? file->error : prepareStage();
	if (!error && (fstat(file->fd, &status) < 0))
		error = errno;
	/* FatFs makes a file longer that is open for writing when the position passes its end. */
	if (!error && (position < status.st_size))
		error = seek(file, position);
	else
		length = 0;
	while (!error && (done < length)) {
		size_t skip = (size_t)((position + (off_t)done) % kSectorBytes);
		size_t most = gStage.capacity - skip;
		ssize_t count = read(file->fd, gStage.bytes + skip, (length - done < most) ? length - done : most);
		if (count == 0)
			break;
		if (count > 0) {
			memcpy(bytes + done, gStage.bytes + skip, (size_t)count);
			done += (xsUnsignedValue)count;
			file->position += count;
		}
		else if (errno != EINTR) {
			error = errno;
			file->position = -1;
		}
	}
	xsmcSetNumber(xsResult, error ? (double)failure(error) : (double)done);
}

/* (bytes, position): all of them, or a failure. They may wait in the stage until a flush. */
void xs_coffer_file_write(xsMachine *the)
{
	CofferFile file = toFile(the);
	off_t position = toOffset(the, 1);
	xsUnsignedValue length, done = 0;
	uint8_t *bytes;
	int error;

	xsmcGetBufferReadable(xsArg(0), (void **)&bytes, &length);
	if ((double)position + (double)length > kMaxOffset)
		xsRangeError("position: past 2147483647");
	error = file->error ? file->error : file->isWritable ? prepareStage() : EBADF;
	while (!error && (done < length)) {
		off_t at = position + (off_t)done;
		size_t end, count;
		if (gStage.owner && ((gStage.owner != file) || (gStage.start + (off_t)gStage.used != at))) {
			settleStage();
			error = file->error;
			continue;
		}
		if (!gStage.owner) {
			gStage.owner = file;
			gStage.start = at;
		}
		end = (size_t)(gStage.start % kSectorBytes) + gStage.used;
		count = gStage.capacity - end;
		if (count > length - done)
			count = length - done;
		memcpy(gStage.bytes + end, bytes + done, count);
		gStage.used += count;
		done += (xsUnsignedValue)count;
		if (end + count == gStage.capacity)
			error = drainStage();
	}
	xsmcSetInteger(xsResult, error ? failure(error) : 0);
}

#ifdef ESP_PLATFORM
/*
 * An empty file as one piece: its blocks then go to the card one after the other, and its chain is looked up without
 * seeking. FatFs can do that only to a file that it opens itself, so ours is closed and opened again. 0: done; else the
 * ordinary way is left to go. When there is no such piece FatFs has read the whole table for it, and where its search
 * wraps around it loses clusters, so that is not done twice for one mount (`xs_coffer_files_forgetCard`).
 */
static int gHasPieces = 1;

static int allocatePiece(CofferFile file, off_t size)
{
	char mountPoint[kMaxPath];
	int result, error = 0;

	if (!gHasPieces)
		return ENOSPC;
	toMountPoint(file->path, mountPoint);
	if (close(file->fd) < 0)
		error = errno;
	file->fd = -1;
	result = error ? -1 : esp_vfs_fat_create_contiguous_file(mountPoint, file->path, (uint64_t)size, true);
	file->fd = open(file->path, O_RDWR);
	file->position = 0;
	if (file->fd < 0)
		file->error = errno;
	gHasPieces = result == 0;
	return (result == 0) ? 0 : ENOSPC;
}

/* 0, or errno. FatFs takes clusters when the position passes the end, and clips it when there are no more. */
static int extendFile(CofferFile file, off_t from, off_t size)
{
	static const uint8_t zero = 0;
	struct stat after;
	int error = 0;

	if ((from == 0) && (allocatePiece(file, size) == 0))
		return file->error;
	if (file->error)
		return file->error;
	error = seek(file, size - 1);
	if (!error && (write(file->fd, &zero, 1) != 1))
		error = errno ? errno : ENOSPC;
	file->position = -1;
	if (!error && (fstat(file->fd, &after) < 0))
		error = errno;
	if (!error && (after.st_size != size))
		error = ENOSPC;
	return error;
}
#elif defined(__APPLE__)
/* 0, or errno. In one piece if there is one, else in any number. */
static int extendFile(CofferFile file, off_t from, off_t size)
{
	fstore_t store = { F_ALLOCATECONTIG | F_ALLOCATEALL, F_PEOFPOSMODE, 0, size - from, 0 };
	if (fcntl(file->fd, F_PREALLOCATE, &store) < 0) {
		store.fst_flags = F_ALLOCATEALL;
		if (fcntl(file->fd, F_PREALLOCATE, &store) < 0)
			return errno;
	}
	return (ftruncate(file->fd, size) < 0) ? errno : 0;
}
#else
static int extendFile(CofferFile file, off_t from, off_t size)
{
	return posix_fallocate(file->fd, from, size - from);
}
#endif

/* A card was mounted: what was found out of the one before does not hold for it. */
void xs_coffer_files_forgetCard(xsMachine *the)
{
	(void)the;
#ifdef ESP_PLATFORM
	gHasPieces = 1;
#endif
}

/* (size): with room behind it; on failure the file is as it was */
void xs_coffer_file_allocate(xsMachine *the)
{
	CofferFile file = toFile(the);
	off_t size = toOffset(the, 0);
	struct stat before;
	int error;

	settleStage();
	error = file->error;
	if (!error && (fstat(file->fd, &before) < 0))
		error = errno;
	if (!error && (size > before.st_size)) {
		error = extendFile(file, before.st_size, size);
		/* What cannot be taken back is the file's end: its size is not what its owner believes. */
		if (error && !file->error && (ftruncate(file->fd, before.st_size) < 0))
			file->error = errno;
	}
	else if (!error && (size < before.st_size) && (ftruncate(file->fd, size) < 0))
		error = errno;
	/* Where the system's position is after a truncation differs. */
	file->position = -1;
	xsmcSetInteger(xsResult, error ? failure(error) : 0);
}

void xs_coffer_file_flush(xsMachine *the)
{
	CofferFile file = toFile(the);
	settleStage();
	if (file->error)
		xsmcSetInteger(xsResult, failure(file->error));
	else
		xsmcSetInteger(xsResult, fsync(file->fd) < 0 ? failure(errno) : 0);
}

/* (path): makes the names in a folder durable; FatFs has done so when the call that changed them returned */
void xs_coffer_files_syncDirectory(xsMachine *the)
{
	int result = 0;
#ifndef ESP_PLATFORM
	char path[kMaxPath];
	int fd;
	toPath(the, 0, path);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		result = failure(errno);
	else {
		if (fsync(fd) < 0)
			result = failure(errno);
		if ((close(fd) < 0) && (result == 0))
			result = failure(errno);
	}
#endif
	xsmcSetInteger(xsResult, result);
}

void xs_coffer_files_createDirectory(xsMachine *the)
{
	char path[kMaxPath];
	toPath(the, 0, path);
	settleStage();
	xsmcSetInteger(xsResult, mkdir(path, 0700) < 0 ? failure(creationError(errno, path)) : 0);
}

/* (path): 0 nothing there, 1 a file, 2 a directory */
void xs_coffer_files_kind(xsMachine *the)
{
	char path[kMaxPath];
	struct stat status;
	toPath(the, 0, path);
	settleStage();
	if (stat(path, &status) < 0)
		xsmcSetInteger(xsResult, errno == ENOENT ? 0 : failure(errno));
	else
		xsmcSetInteger(xsResult, S_ISDIR(status.st_mode) ? 2 : 1);
}

void xs_coffer_files_remove(xsMachine *the)
{
	char path[kMaxPath];
	struct stat status;
	int error = 0;
	toPath(the, 0, path);
	settleStage();
	if (stat(path, &status) < 0)
		error = errno;
	else if (S_ISDIR(status.st_mode)) {
		if (rmdir(path) < 0)
			error = errno;
#ifdef ESP_PLATFORM
		/* FatFs says "denied" for a folder with something in it. */
		if (error == EACCES)
			error = ENOTEMPTY;
#endif
	}
	else if (unlink(path) < 0)
		error = errno;
	xsmcSetInteger(xsResult, error ? failure(error) : 0);
}

/* (from, to): replaces `to` at once. Not on FAT, where it is neither atomic nor replaces. */
void xs_coffer_files_replace(xsMachine *the)
{
	char from[kMaxPath], to[kMaxPath];
	toPath(the, 0, from);
	toPath(the, 1, to);
	settleStage();
	xsmcSetInteger(xsResult, rename(from, to) < 0 ? failure(errno) : 0);
}

/* (path, into): capacity and free bytes as two doubles in the host's byte order */
void xs_coffer_files_space(xsMachine *the)
{
	char path[kMaxPath];
	double space[2];
	xsUnsignedValue length;
	void *into;
	toPath(the, 0, path);
	settleStage();
#ifdef ESP_PLATFORM
	{
		uint64_t total, available;
		char mountPoint[kMaxPath];
		esp_err_t result;
		toMountPoint(path, mountPoint);
		result = esp_vfs_fat_info(mountPoint, &total, &available);
		if (result != ESP_OK) {
			/* Not mounted, or what f_getfree left in errno. */
			xsmcSetInteger(xsResult, failure(result == ESP_FAIL ? errno : ENODEV));
			return;
		}
		space[0] = (double)total;
		space[1] = (double)available;
	}
#else
	{
		struct statvfs status;
		if (statvfs(path, &status) < 0) {
			xsmcSetInteger(xsResult, failure(errno));
			return;
		}
		space[0] = (double)status.f_blocks * (double)status.f_frsize;
		space[1] = (double)status.f_bavail * (double)status.f_frsize;
	}
#endif
	xsmcGetBufferWritable(xsArg(1), &into, &length);
	if (length != sizeof(space))
		xsRangeError("into: expected 16 bytes");
	memcpy(into, space, sizeof(space));
	xsmcSetInteger(xsResult, 0);
}

void xs_coffer_scan_destructor(void *data)
{
	CofferScan scan = data;
	if (!scan)
		return;
	/* It was only read: nothing can be lost. */
	if (scan->directory)
		(void)closedir(scan->directory);
	free(scan);
}

/* (path) */
void xs_coffer_scan_open(xsMachine *the)
{
	CofferScan scan;
	char path[kMaxPath];

	toPath(the, 0, path);
	if (xsmcGetHostData(xsThis))
		xsUnknownError("scan is open");
	scan = malloc(sizeof(CofferScanRecord));
	if (!scan) {
		xsmcSetInteger(xsResult, failure(ENOMEM));
		return;
	}
	strcpy(scan->path, path);
	settleStage();
	scan->directory = opendir(path);
	if (!scan->directory) {
		int result = failure(errno);
		free(scan);
		xsmcSetInteger(xsResult, result);
		return;
	}
	xsmcSetHostData(xsThis, scan);
	xsmcSetInteger(xsResult, 0);
}

/* -> the next name; nothing at the end; a number: a failure. Afterwards `size` tells of that entry. */
void xs_coffer_scan_next(xsMachine *the)
{
	CofferScan scan = xsmcGetHostData(xsThis);
	struct dirent *entry;
	if (!scan)
		xsUnknownError("scan is closed");
	do {
		errno = 0;
		entry = readdir(scan->directory);
	} while (entry && ((0 == strcmp(entry->d_name, ".")) || (0 == strcmp(entry->d_name, ".."))));
	if (entry)
		xsmcSetString(xsResult, entry->d_name);
	else if (errno)
		xsmcSetInteger(xsResult, failure(errno));
}

/* (name) -> its size, -1 for a directory; anything that went away or is neither counts as a directory */
void xs_coffer_scan_size(xsMachine *the)
{
	CofferScan scan = xsmcGetHostData(xsThis);
	char name[kMaxPath], path[2 * kMaxPath + 1];
	struct stat status;
	if (!scan)
		xsUnknownError("scan is closed");
	toPath(the, 0, name);
	settleStage();
	/* Both fit by their own bounds. */
	(void)snprintf(path, sizeof(path), "%s/%s", scan->path, name);
	if ((stat(path, &status) < 0) || !S_ISREG(status.st_mode))
		xsmcSetInteger(xsResult, -1);
	else
		xsmcSetNumber(xsResult, (double)status.st_size);
}

void xs_coffer_scan_close(xsMachine *the)
{
	CofferScan scan = xsmcGetHostData(xsThis);
	if (!scan)
		return;
	xsmcSetHostData(xsThis, NULL);
	xs_coffer_scan_destructor(scan);
}
