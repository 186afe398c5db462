// SPDX-License-Identifier: MIT
/*
 * coffer-disk.h over Win32. Slashes are taken by Win32 as they are; names are UTF-16 there. What makes names durable is NTFS's
 * journal, which is written in order: with a file's own flush, everything before it is.
 */
#include "../coffer-disk.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* As on a board, so that the same is run. */
enum { kStageBytes = 32768 };

struct sxCofferListing {
	HANDLE search;
	WIN32_FIND_DATAW entry;
	/* `entry` holds a name that was not told yet. */
	int isFresh;
};

static int errorOf(DWORD error)
{
	switch (error) {
		case ERROR_SUCCESS: return 0;
		case ERROR_FILE_NOT_FOUND: case ERROR_PATH_NOT_FOUND: case ERROR_INVALID_NAME: case ERROR_BAD_NETPATH: return ENOENT;
		case ERROR_FILE_EXISTS: case ERROR_ALREADY_EXISTS: return EEXIST;
		case ERROR_DISK_FULL: case ERROR_HANDLE_DISK_FULL: return ENOSPC;
		case ERROR_WRITE_PROTECT: return EROFS;
		case ERROR_ACCESS_DENIED: return EACCES;
		case ERROR_NOT_READY: case ERROR_DEV_NOT_EXIST: case ERROR_NO_MEDIA_IN_DRIVE: case ERROR_BAD_UNIT: return ENODEV;
		case ERROR_DIR_NOT_EMPTY: return ENOTEMPTY;
		case ERROR_SHARING_VIOLATION: case ERROR_LOCK_VIOLATION: return EBUSY;
		case ERROR_NOT_ENOUGH_MEMORY: case ERROR_OUTOFMEMORY: return ENOMEM;
		case ERROR_FILENAME_EXCED_RANGE: return ENAMETOOLONG;
		default: return EIO;
	}
}

static int lastError(void)
{
	int error = errorOf(GetLastError());
	return error ? error : EIO;
}

/* Of kMaxPath units: UTF-16 has no more of them than UTF-8 has bytes. */
static int toWide(const char *path, WCHAR *wide)
{
	return MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, kMaxPath) > 0 ? 0 : ENOENT;
}

static HANDLE handleOf(CofferHandle handle)
{
	return (HANDLE)handle;
}

int cofferOpen(const char *path, int mode, CofferHandle *into)
{
	const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
	WCHAR wide[kMaxPath];
	HANDLE handle;
	int error = toWide(path, wide);
	*into = COFFER_NO_HANDLE;
	if (error)
		return error;
	handle = CreateFileW(wide, (mode == kRead) ? GENERIC_READ : GENERIC_READ | GENERIC_WRITE, share, NULL,
		(mode == kCreate) ? CREATE_NEW : OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
	if (handle == INVALID_HANDLE_VALUE) {
		int kind;
		error = lastError();
		/* A folder is denied as well, and is not read-only for that. */
		if ((error == EACCES) && (mode != kCreate) && (cofferKind(path, &kind, NULL) == 0) && (kind == kDirectory))
			error = EISDIR;
		return error;
	}
	*into = (CofferHandle)handle;
	return 0;
}

int cofferClose(CofferHandle handle)
{
	return CloseHandle(handleOf(handle)) ? 0 : lastError();
}

int cofferSize(CofferHandle handle, int64_t *size)
{
	LARGE_INTEGER found;
	if (!GetFileSizeEx(handleOf(handle), &found))
		return lastError();
	*size = (int64_t)found.QuadPart;
	return 0;
}

int cofferSeek(CofferHandle handle, int64_t position)
{
	LARGE_INTEGER wanted;
	wanted.QuadPart = position;
	return SetFilePointerEx(handleOf(handle), wanted, NULL, FILE_BEGIN) ? 0 : lastError();
}

int cofferReadSome(CofferHandle handle, void *into, size_t size, size_t *count)
{
	DWORD done = 0;
	BOOL isDone = ReadFile(handleOf(handle), into, (DWORD)size, &done, NULL);
	*count = isDone ? done : 0;
	return isDone ? 0 : lastError();
}

int cofferWriteSome(CofferHandle handle, const void *bytes, size_t size, size_t *count)
{
	DWORD done = 0;
	BOOL isDone = WriteFile(handleOf(handle), bytes, (DWORD)size, &done, NULL);
	*count = isDone ? done : 0;
	return isDone ? 0 : lastError();
}

int cofferSync(CofferHandle handle)
{
	if (FlushFileBuffers(handleOf(handle)))
		return 0;
	/* One that is open for reading has nothing to flush; POSIX says yes to that. */
	return (GetLastError() == ERROR_ACCESS_DENIED) ? 0 : lastError();
}

/* Grows as well: NTFS and FAT take the clusters at once, or say that there are none. */
int cofferTruncate(CofferHandle handle, int64_t size)
{
	FILE_END_OF_FILE_INFO end;
	end.EndOfFile.QuadPart = size;
	return SetFileInformationByHandle(handleOf(handle), FileEndOfFileInfo, &end, sizeof(end)) ? 0 : lastError();
}

int cofferExtend(CofferHandle *handle, const char *path, int64_t from, int64_t size)
{
	(void)path;
	(void)from;
	return cofferTruncate(*handle, size);
}

int cofferMakeDirectory(const char *path)
{
	WCHAR wide[kMaxPath];
	int error = toWide(path, wide);
	if (!error && !CreateDirectoryW(wide, NULL))
		error = lastError();
	return error;
}

int cofferSyncDirectory(const char *path)
{
	(void)path;
	return 0;
}

int cofferKind(const char *path, int *kind, int64_t *size)
{
	WIN32_FILE_ATTRIBUTE_DATA facts;
	WCHAR wide[kMaxPath];
	int error = toWide(path, wide);
	*kind = kNothing;
	if (!error && !GetFileAttributesExW(wide, GetFileExInfoStandard, &facts))
		error = lastError();
	if (error)
		return (error == ENOENT) ? 0 : error;
	*kind = (facts.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) ? kDirectory : kFile;
	if (size)
		*size = ((int64_t)facts.nFileSizeHigh << 32) | facts.nFileSizeLow;
	return 0;
}

int cofferRemoveFile(const char *path)
{
	WCHAR wide[kMaxPath];
	int error = toWide(path, wide);
	if (!error && !DeleteFileW(wide))
		error = lastError();
	return error;
}

int cofferRemoveDirectory(const char *path)
{
	WCHAR wide[kMaxPath];
	int error = toWide(path, wide);
	if (!error && !RemoveDirectoryW(wide))
		error = lastError();
	return error;
}

int cofferReplace(const char *from, const char *to)
{
	WCHAR wideFrom[kMaxPath], wideTo[kMaxPath];
	int error = toWide(from, wideFrom);
	if (!error)
		error = toWide(to, wideTo);
	if (!error && !MoveFileExW(wideFrom, wideTo, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
		error = lastError();
	return error;
}

int cofferSpace(const char *path, double *both)
{
	ULARGE_INTEGER available, total;
	WCHAR wide[kMaxPath];
	int error = toWide(path, wide);
	if (!error && !GetDiskFreeSpaceExW(wide, &available, &total, NULL))
		error = lastError();
	if (error)
		return error;
	both[0] = (double)total.QuadPart;
	both[1] = (double)available.QuadPart;
	return 0;
}

int cofferList(const char *path, CofferListing *into)
{
	WCHAR wide[kMaxPath + 2];
	CofferListing listing;
	int error = toWide(path, wide);
	*into = NULL;
	if (error)
		return error;
	wcscat(wide, L"/*");
	listing = malloc(sizeof(struct sxCofferListing));
	if (!listing)
		return ENOMEM;
	listing->search = FindFirstFileW(wide, &listing->entry);
	listing->isFresh = 1;
	if (listing->search == INVALID_HANDLE_VALUE) {
		error = lastError();
		free(listing);
		return error;
	}
	*into = listing;
	return 0;
}

int cofferNextName(CofferListing listing, char *into, size_t size)
{
	const WCHAR *name = listing->entry.cFileName;
	into[0] = 0;
	do {
		if (!listing->isFresh && !FindNextFileW(listing->search, &listing->entry))
			return (GetLastError() == ERROR_NO_MORE_FILES) ? 0 : lastError();
		listing->isFresh = 0;
	} while ((wcscmp(name, L".") == 0) || (wcscmp(name, L"..") == 0));
	if (WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, name, -1, into, (int)size, NULL, NULL) > 0)
		return 0;
	into[0] = 0;
	return EIO;
}

void cofferEndList(CofferListing listing)
{
	(void)FindClose(listing->search);
	free(listing);
}

void *cofferStageMemory(size_t *size)
{
	*size = kStageBytes;
	return malloc(kStageBytes);
}

void cofferForgetCard(void)
{
}
