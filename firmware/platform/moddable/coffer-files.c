// SPDX-License-Identifier: MIT
/*
 * POSIX files for the storage port: Linux, and ESP32 over the FAT of its SD card. Reaches the system and decides
 * nothing. Every function answers a number: what was asked for, or the negative of `errno * 8 + kind` with the kinds
 * of `failure()`; coffer-files.ts knows the other end.
 *
 * Sequential access: FatFs' pread and pwrite would seek there and back on every call, so the position is kept here
 * and lseek is called only when it changes.
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
	#include "esp_vfs_fat.h"
#else
	#include <sys/statvfs.h>
#endif

enum { kNotFound = 1, kExists, kFull, kReadOnly, kNoCard, kOther };
enum { kRead = 0, kUpdate, kCreate };
enum { kMaxPath = 512 };
/* FatFs keeps 32-bit signed offsets. */
static const double kMaxOffset = 2147483647.0;

typedef struct {
	int fd;
	off_t position;
} CofferFileRecord, *CofferFile;

typedef struct {
	DIR *directory;
	char path[kMaxPath];
} CofferScanRecord, *CofferScan;

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
	if (!file || (file->fd < 0))
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

void xs_coffer_file_destructor(void *data)
{
	CofferFile file = data;
	if (!file)
		return;
	if (file->fd >= 0)
		close(file->fd);
	free(file);
}

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
	fd = open(path, flags[mode], 0600);
	if (fd < 0) {
		xsmcSetInteger(xsResult, failure(errno));
		return;
	}
	file = malloc(sizeof(CofferFileRecord));
	if (!file) {
		close(fd);
		xsmcSetInteger(xsResult, failure(ENOMEM));
		return;
	}
	file->fd = fd;
	file->position = 0;
	xsmcSetHostData(xsThis, file);
	xsmcSetInteger(xsResult, 0);
}

void xs_coffer_file_close(xsMachine *the)
{
	CofferFile file = xsmcGetHostData(xsThis);
	if (!file)
		return;
	xsmcSetHostData(xsThis, NULL);
	xs_coffer_file_destructor(file);
}

void xs_coffer_file_size(xsMachine *the)
{
	CofferFile file = toFile(the);
	struct stat status;
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
	int error;

	xsmcGetBufferWritable(xsArg(0), (void **)&bytes, &length);
	error = seek(file, position);
	while (!error && (done < length)) {
		ssize_t count = read(file->fd, bytes + done, length - done);
		if (count == 0)
			break;
		if (count > 0) {
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

/* (bytes, position): all of them, or a failure */
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
	error = seek(file, position);
	while (!error && (done < length)) {
		ssize_t count = write(file->fd, bytes + done, length - done);
		if (count > 0) {
			done += (xsUnsignedValue)count;
			file->position += count;
		}
		else if ((count == 0) || (errno != EINTR)) {
			error = (count == 0) ? ENOSPC : errno;
			file->position = -1;
		}
	}
	xsmcSetInteger(xsResult, error ? failure(error) : 0);
}

/* (size): with room behind it; on failure the file is as it was */
void xs_coffer_file_allocate(xsMachine *the)
{
	CofferFile file = toFile(the);
	off_t size = toOffset(the, 0);
	struct stat before;
	int error = 0;

	if (fstat(file->fd, &before) < 0) {
		xsmcSetInteger(xsResult, failure(errno));
		return;
	}
	if (size > before.st_size) {
#ifdef ESP_PLATFORM
		/* FatFs takes clusters when the position passes the end, and clips it when there are no more. */
		static const uint8_t zero = 0;
		struct stat after;
		error = seek(file, size - 1);
		if (!error && (write(file->fd, &zero, 1) != 1))
			error = errno ? errno : ENOSPC;
		file->position = -1;
		if (!error && (fstat(file->fd, &after) < 0))
			error = errno;
		if (!error && (after.st_size != size))
			error = ENOSPC;
#else
		error = posix_fallocate(file->fd, before.st_size, size - before.st_size);
#endif
	}
	else if ((size < before.st_size) && (ftruncate(file->fd, size) < 0))
		error = errno;
	if (error && (size > before.st_size) && (ftruncate(file->fd, before.st_size) < 0))
		error = errno;
	xsmcSetInteger(xsResult, error ? failure(error) : 0);
}

void xs_coffer_file_flush(xsMachine *the)
{
	CofferFile file = toFile(the);
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
		close(fd);
	}
#endif
	xsmcSetInteger(xsResult, result);
}

void xs_coffer_files_createDirectory(xsMachine *the)
{
	char path[kMaxPath];
	toPath(the, 0, path);
	xsmcSetInteger(xsResult, mkdir(path, 0700) < 0 ? failure(errno) : 0);
}

/* (path): 0 nothing there, 1 a file, 2 a directory */
void xs_coffer_files_kind(xsMachine *the)
{
	char path[kMaxPath];
	struct stat status;
	toPath(the, 0, path);
	if (stat(path, &status) < 0)
		xsmcSetInteger(xsResult, errno == ENOENT ? 0 : failure(errno));
	else
		xsmcSetInteger(xsResult, S_ISDIR(status.st_mode) ? 2 : 1);
}

void xs_coffer_files_remove(xsMachine *the)
{
	char path[kMaxPath];
	struct stat status;
	int result;
	toPath(the, 0, path);
	result = stat(path, &status);
	if (result == 0)
		result = S_ISDIR(status.st_mode) ? rmdir(path) : unlink(path);
	xsmcSetInteger(xsResult, result < 0 ? failure(errno) : 0);
}

/* (from, to): replaces `to` at once. Not on FAT, where it is neither atomic nor replaces. */
void xs_coffer_files_replace(xsMachine *the)
{
	char from[kMaxPath], to[kMaxPath];
	toPath(the, 0, from);
	toPath(the, 1, to);
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
#ifdef ESP_PLATFORM
	{
		uint64_t total, available;
		char *slash = strchr(path + 1, '/');
		if (slash)
			*slash = 0;
		if (esp_vfs_fat_info(path, &total, &available) != ESP_OK) {
			xsmcSetInteger(xsResult, failure(ENODEV));
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
	if (scan->directory)
		closedir(scan->directory);
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
	memcpy(scan->path, path, sizeof(scan->path));
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
	snprintf(path, sizeof(path), "%s/%s", scan->path, name);
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
