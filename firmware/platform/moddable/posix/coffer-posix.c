// SPDX-License-Identifier: MIT
/* coffer-disk.h over POSIX, what Linux, macOS and ESP-IDF have in common; the rest is in coffer-host.c and the ESP32's coffer-fat.c. */
#include "../coffer-disk.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

int cofferClose(CofferHandle handle)
{
	return (close((int)handle) < 0) ? errno : 0;
}

int cofferSize(CofferHandle handle, int64_t *size)
{
	struct stat status;
	if (fstat((int)handle, &status) < 0)
		return errno;
	*size = (int64_t)status.st_size;
	return 0;
}

int cofferSeek(CofferHandle handle, int64_t position)
{
	if (lseek((int)handle, (off_t)position, SEEK_SET) == (off_t)position)
		return 0;
	return errno ? errno : EIO;
}

int cofferReadSome(CofferHandle handle, void *into, size_t size, size_t *count)
{
	ssize_t done;
	do {
		done = read((int)handle, into, size);
	} while ((done < 0) && (errno == EINTR));
	*count = (done < 0) ? 0 : (size_t)done;
	return (done < 0) ? errno : 0;
}

int cofferWriteSome(CofferHandle handle, const void *bytes, size_t size, size_t *count)
{
	ssize_t done;
	do {
		done = write((int)handle, bytes, size);
	} while ((done < 0) && (errno == EINTR));
	*count = (done < 0) ? 0 : (size_t)done;
	return (done < 0) ? errno : 0;
}

int cofferSync(CofferHandle handle)
{
	return (fsync((int)handle) < 0) ? errno : 0;
}

int cofferTruncate(CofferHandle handle, int64_t size)
{
	return (ftruncate((int)handle, (off_t)size) < 0) ? errno : 0;
}

int cofferKind(const char *path, int *kind, int64_t *size)
{
	struct stat status;
	if (stat(path, &status) < 0) {
		*kind = kNothing;
		return (errno == ENOENT) ? 0 : errno;
	}
	*kind = S_ISDIR(status.st_mode) ? kDirectory : kFile;
	if (size) {
		*size = (int64_t)status.st_size;
		/* Whoever asks for a size wants a file to read. */
		if (!S_ISREG(status.st_mode))
			*kind = kDirectory;
	}
	return 0;
}

int cofferRemoveFile(const char *path)
{
	return (unlink(path) < 0) ? errno : 0;
}

int cofferReplace(const char *from, const char *to)
{
	return (rename(from, to) < 0) ? errno : 0;
}

int cofferList(const char *path, CofferListing *into)
{
	*into = (CofferListing)(void *)opendir(path);
	return *into ? 0 : errno;
}

int cofferNextName(CofferListing listing, char *into, size_t size)
{
	struct dirent *entry;
	into[0] = 0;
	do {
		errno = 0;
		entry = readdir((DIR *)(void *)listing);
	} while (entry && ((0 == strcmp(entry->d_name, ".")) || (0 == strcmp(entry->d_name, ".."))));
	if (!entry)
		return errno;
	if (strlen(entry->d_name) >= size)
		return ENAMETOOLONG;
	strcpy(into, entry->d_name);
	return 0;
}

void cofferEndList(CofferListing listing)
{
	(void)closedir((DIR *)(void *)listing);
}
