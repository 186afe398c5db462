// SPDX-License-Identifier: MIT
/* coffer-disk.h on a computer with POSIX: Linux and macOS. */
#include "../coffer-disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <unistd.h>

/* As on a board, so that the same is run. */
enum { kStageBytes = 32768 };

int cofferOpen(const char *path, int mode, CofferHandle *into)
{
	static const int flags[] = { O_RDONLY, O_RDWR, O_RDWR | O_CREAT | O_EXCL };
	int fd = open(path, flags[mode], 0600);
	*into = fd;
	return (fd < 0) ? errno : 0;
}

#ifdef __APPLE__
/* In one piece if there is one, else in any number. */
int cofferExtend(CofferHandle *handle, const char *path, int64_t from, int64_t size)
{
	fstore_t store = { F_ALLOCATECONTIG | F_ALLOCATEALL, F_PEOFPOSMODE, 0, size - from, 0 };
	(void)path;
	if (fcntl((int)*handle, F_PREALLOCATE, &store) < 0) {
		store.fst_flags = F_ALLOCATEALL;
		if (fcntl((int)*handle, F_PREALLOCATE, &store) < 0)
			return errno;
	}
	return cofferTruncate(*handle, size);
}
#else
int cofferExtend(CofferHandle *handle, const char *path, int64_t from, int64_t size)
{
	(void)path;
	return posix_fallocate((int)*handle, (off_t)from, (off_t)(size - from));
}
#endif

int cofferMakeDirectory(const char *path)
{
	return (mkdir(path, 0700) < 0) ? errno : 0;
}

int cofferSyncDirectory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY);
	int error;
	if (fd < 0)
		return errno;
	error = (fsync(fd) < 0) ? errno : 0;
	if ((close(fd) < 0) && !error)
		error = errno;
	return error;
}

int cofferRemoveDirectory(const char *path)
{
	return (rmdir(path) < 0) ? errno : 0;
}

int cofferSpace(const char *path, double *both)
{
	struct statvfs status;
	if (statvfs(path, &status) < 0)
		return errno;
	both[0] = (double)status.f_blocks * (double)status.f_frsize;
	both[1] = (double)status.f_bavail * (double)status.f_frsize;
	return 0;
}

void *cofferStageMemory(size_t *size)
{
	*size = kStageBytes;
	return malloc(kStageBytes);
}

void cofferForgetCard(void)
{
}
