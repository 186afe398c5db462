/* SPDX-License-Identifier: MIT */
/*
 * What the storage port asks of a system: coffer-posix.c with coffer-host.c or the ESP32's coffer-fat.c, or coffer-win.c. No
 * engine here. Paths are UTF-8 with slashes. Every function that answers an int answers 0 or an errno, those of POSIX where
 * the system has others.
 */
#ifndef COFFER_DISK_H
#define COFFER_DISK_H

#include <stddef.h>
#include <stdint.h>

enum { kMaxPath = 512 };
enum { kRead = 0, kUpdate, kCreate };
enum { kNothing = 0, kFile, kDirectory };

/* A file descriptor, or what is one elsewhere. */
typedef intptr_t CofferHandle;
#define COFFER_NO_HANDLE ((CofferHandle)-1)

typedef struct sxCofferListing *CofferListing;

/* kCreate fails with EEXIST when it is there. */
int cofferOpen(const char *path, int mode, CofferHandle *into);
/* The handle is gone in any case. */
int cofferClose(CofferHandle handle);
int cofferSize(CofferHandle handle, int64_t *size);
/* Reading and writing are sequential, from where a seek has put them. */
int cofferSeek(CofferHandle handle, int64_t position);
/* `*count` 0: the end. */
int cofferReadSome(CofferHandle handle, void *into, size_t size, size_t *count);
int cofferWriteSome(CofferHandle handle, const void *bytes, size_t size, size_t *count);
/* Bytes, size and name are durable. */
int cofferSync(CofferHandle handle);
int cofferTruncate(CofferHandle handle, int64_t size);
/* From `from` to `size` bytes with room behind them. May put another handle in place of `*handle`, COFFER_NO_HANDLE when it is lost. */
int cofferExtend(CofferHandle *handle, const char *path, int64_t from, int64_t size);

int cofferMakeDirectory(const char *path);
/* Makes the names in it durable. */
int cofferSyncDirectory(const char *path);
/* One of kNothing, kFile, kDirectory, which is also everything else; `size` of a file, and may be NULL. */
int cofferKind(const char *path, int *kind, int64_t *size);
int cofferRemoveFile(const char *path);
int cofferRemoveDirectory(const char *path);
/* In the place of `to` at once. Not on FAT, where it is neither atomic nor replaces. */
int cofferReplace(const char *from, const char *to);
/* Capacity and free bytes. */
int cofferSpace(const char *path, double *both);

int cofferList(const char *path, CofferListing *into);
/* The next name but "." and "..", "" at the end. */
int cofferNextName(CofferListing listing, char *into, size_t size);
void cofferEndList(CofferListing listing);

/* Memory that the system moves quickest from and to a file, at most so much; undone by nothing. NULL: there is none. */
void *cofferStageMemory(size_t *size);
/* A card was mounted: what was found out of the one before does not hold for it. */
void cofferForgetCard(void);

#endif
