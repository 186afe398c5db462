// SPDX-License-Identifier: MIT
/*
 * Files for the storage port, over what coffer-disk.h has of a system. Decides nothing. Every function answers a number: what
 * was asked for, or a failure of `cofferFailure()`.
 *
 * Sequential access: FatFs' pread and pwrite would seek there and back on every call, so the position is kept here
 * and a seek is made only when it changes.
 *
 * Everything goes through one buffer, the stage. An SD card is fast only when many sectors are written at once, and the
 * driver's DMA does not reach PSRAM, where the engine's buffers are: such a buffer would go to the card one sector at a
 * time. So what is written in a row is collected in internal memory, sector by sector as in the file, and goes out when
 * the stage is full, when anything else is done, or at a flush. Bytes that are lost when they go out are told to whoever
 * wrote them: their file fails from then on. On a host the stage works the same way.
 */
#include "coffer-files.h"
#include "mc.xs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { kNotFound = 1, kExists, kFull, kReadOnly, kNoCard, kOther };
enum { kSectorBytes = 512 };
/* FatFs keeps 32-bit signed offsets. */
static const double kMaxOffset = 2147483647.0;

typedef struct {
	CofferHandle handle;
	int64_t position;	/* the system's; -1: not known */
	int error;			/* errno of bytes that were taken and then lost */
	int isWritable;
	char path[kMaxPath];
} CofferFileRecord, *CofferFile;

/* One for all files. The bytes of `owner` that wait are at `start` in it; they lie `start` % 512 into `bytes`. */
static struct {
	uint8_t *bytes;
	size_t capacity;
	CofferFile owner;
	int64_t start;
	size_t used;
} gStage;

void xs_coffer_file_destructor(void *data);

int cofferFailure(int error)
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

void cofferToPath(xsMachine *the, int index, char *path)
{
	xsmcToStringBuffer(xsArg(index), path, kMaxPath);
	if (path[0] == 0)
		xsRangeError("path: empty");
}

/* A whole number in 0..2^31-1. */
static int64_t toOffset(xsMachine *the, int index)
{
	double value = xsmcToNumber(xsArg(index));
	if (!(value >= 0) || (value > kMaxOffset) || (value != (double)(int64_t)value))
		xsRangeError("position: expected 0..2147483647");
	return (int64_t)value;
}

static CofferFile toFile(xsMachine *the)
{
	CofferFile file = xsmcGetHostData(xsThis);
	if (!file)
		xsUnknownError("file is closed");
	return file;
}

/* 0, or errno. */
static int seek(CofferFile file, int64_t position)
{
	int error;
	if (file->position == position)
		return 0;
	error = cofferSeek(file->handle, position);
	file->position = error ? -1 : position;
	return error;
}

/* 0, or errno. */
static int prepareStage(void)
{
	if (!gStage.bytes)
		gStage.bytes = cofferStageMemory(&gStage.capacity);
	return gStage.bytes ? 0 : ENOMEM;
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
		size_t count = 0;
		error = cofferWriteSome(file->handle, bytes + done, gStage.used - done, &count);
		if (!error && (count == 0))
			error = ENOSPC;
		done += count;
		file->position = error ? -1 : file->position + (int64_t)count;
	}
	gStage.owner = NULL;
	gStage.used = 0;
	if (error)
		file->error = error;
	return error;
}

void cofferSettleStage(void)
{
	(void)drainStage();
}

/* Closes the file and says what came of the bytes that waited. The system has let go of it in any case. */
static int closeFile(CofferFile file)
{
	int error = file->error;
	if (gStage.owner == file)
		error = drainStage();
	if (file->handle != COFFER_NO_HANDLE) {
		int closing = cofferClose(file->handle);
		if (!error)
			error = closing;
	}
	file->handle = COFFER_NO_HANDLE;
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

/* (path, mode) */
void xs_coffer_file_open(xsMachine *the)
{
	char path[kMaxPath];
	CofferFile file;
	int mode, error;

	cofferToPath(the, 0, path);
	mode = xsmcToInteger(xsArg(1));
	if ((mode < kRead) || (mode > kCreate))
		xsRangeError("mode: expected 0..2");
	if (xsmcGetHostData(xsThis))
		xsUnknownError("file is open");
	cofferSettleStage();
	file = malloc(offsetof(CofferFileRecord, path) + strlen(path) + 1);
	if (!file) {
		xsmcSetInteger(xsResult, cofferFailure(ENOMEM));
		return;
	}
	error = cofferOpen(path, mode, &file->handle);
	if (error) {
		free(file);
		xsmcSetInteger(xsResult, cofferFailure(error));
		return;
	}
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
	xsmcSetInteger(xsResult, error ? cofferFailure(error) : 0);
}

void xs_coffer_file_size(xsMachine *the)
{
	CofferFile file = toFile(the);
	int64_t size = 0;
	int error;
	cofferSettleStage();
	error = cofferSize(file->handle, &size);
	xsmcSetNumber(xsResult, error ? (double)cofferFailure(error) : (double)size);
}

/* (into, position) -> bytes read */
void xs_coffer_file_read(xsMachine *the)
{
	CofferFile file = toFile(the);
	int64_t position = toOffset(the, 1), size = 0;
	xsUnsignedValue length, done = 0;
	uint8_t *bytes;
	int error;

	xsmcGetBufferWritable(xsArg(0), (void **)&bytes, &length);
	cofferSettleStage();
	error = file->error ? file->error : prepareStage();
	if (!error)
		error = cofferSize(file->handle, &size);
	/* FatFs makes a file longer that is open for writing when the position passes its end. */
	if (!error && (position < size))
		error = seek(file, position);
	else
		length = 0;
	while (!error && (done < length)) {
		size_t skip = (size_t)((position + (int64_t)done) % kSectorBytes);
		size_t most = gStage.capacity - skip, count = 0;
		error = cofferReadSome(
			file->handle, gStage.bytes + skip, (length - done < most) ? length - done : most, &count);
		if (!error && (count == 0))
			break;
		if (!error)
			memcpy(bytes + done, gStage.bytes + skip, count);
		done += (xsUnsignedValue)count;
		file->position = error ? -1 : file->position + (int64_t)count;
	}
	xsmcSetNumber(xsResult, error ? (double)cofferFailure(error) : (double)done);
}

/* (bytes, position): all of them, or a failure. They may wait in the stage until a flush. */
void xs_coffer_file_write(xsMachine *the)
{
	CofferFile file = toFile(the);
	int64_t position = toOffset(the, 1);
	xsUnsignedValue length, done = 0;
	uint8_t *bytes;
	int error;

	xsmcGetBufferReadable(xsArg(0), (void **)&bytes, &length);
	if ((double)position + (double)length > kMaxOffset)
		xsRangeError("position: past 2147483647");
	error = file->error ? file->error : file->isWritable ? prepareStage() : EBADF;
	while (!error && (done < length)) {
		int64_t at = position + (int64_t)done;
		size_t end, count;
		if (gStage.owner && ((gStage.owner != file) || (gStage.start + (int64_t)gStage.used != at))) {
			cofferSettleStage();
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
	xsmcSetInteger(xsResult, error ? cofferFailure(error) : 0);
}

/* A card was mounted. */
void xs_coffer_files_forgetCard(xsMachine *the)
{
	(void)the;
	cofferForgetCard();
}

/* (size): with room behind it; on failure the file is as it was */
void xs_coffer_file_allocate(xsMachine *the)
{
	CofferFile file = toFile(the);
	int64_t size = toOffset(the, 0), before = 0;
	int error;

	cofferSettleStage();
	error = file->error ? file->error : cofferSize(file->handle, &before);
	if (!error && (size > before)) {
		error = cofferExtend(&file->handle, file->path, before, size);
		/* What cannot be taken back is the file's end: its size is not what its owner believes. */
		if (error)
			file->error = (file->handle == COFFER_NO_HANDLE) ? error : cofferTruncate(file->handle, before);
	}
	else if (!error && (size < before))
		error = cofferTruncate(file->handle, size);
	/* Where the system's position is after a truncation differs. */
	file->position = -1;
	xsmcSetInteger(xsResult, error ? cofferFailure(error) : 0);
}

void xs_coffer_file_flush(xsMachine *the)
{
	CofferFile file = toFile(the);
	int error;
	cofferSettleStage();
	error = file->error ? file->error : cofferSync(file->handle);
	xsmcSetInteger(xsResult, error ? cofferFailure(error) : 0);
}
