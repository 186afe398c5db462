// SPDX-License-Identifier: MIT
/* Names, folders and room for the storage port, over what coffer-disk.h has of a system. As coffer-files.c. */
#include "coffer-files.h"
#include "mc.xs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
	CofferListing listing;
	char path[kMaxPath];
} CofferScanRecord, *CofferScan;

void xs_coffer_scan_destructor(void *data);

static void setResult(xsMachine *the, int error)
{
	xsmcSetInteger(xsResult, error ? cofferFailure(error) : 0);
}

/* (path): makes the names in a folder durable */
void xs_coffer_files_syncDirectory(xsMachine *the)
{
	char path[kMaxPath];
	cofferToPath(the, 0, path);
	setResult(the, cofferSyncDirectory(path));
}

void xs_coffer_files_createDirectory(xsMachine *the)
{
	char path[kMaxPath];
	cofferToPath(the, 0, path);
	cofferSettleStage();
	setResult(the, cofferMakeDirectory(path));
}

/* (path): 0 nothing there, 1 a file, 2 a directory */
void xs_coffer_files_kind(xsMachine *the)
{
	char path[kMaxPath];
	int kind = kNothing, error;
	cofferToPath(the, 0, path);
	cofferSettleStage();
	error = cofferKind(path, &kind, NULL);
	xsmcSetInteger(xsResult, error ? cofferFailure(error) : kind);
}

void xs_coffer_files_remove(xsMachine *the)
{
	char path[kMaxPath];
	int kind = kNothing, error;
	cofferToPath(the, 0, path);
	cofferSettleStage();
	error = cofferKind(path, &kind, NULL);
	if (!error)
		error = (kind == kNothing) ? ENOENT : (kind == kDirectory) ? cofferRemoveDirectory(path) : cofferRemoveFile(path);
	setResult(the, error);
}

/* (from, to): replaces `to` at once */
void xs_coffer_files_replace(xsMachine *the)
{
	char from[kMaxPath], to[kMaxPath];
	cofferToPath(the, 0, from);
	cofferToPath(the, 1, to);
	cofferSettleStage();
	setResult(the, cofferReplace(from, to));
}

/* (path, into): capacity and free bytes as two doubles in the host's byte order */
void xs_coffer_files_space(xsMachine *the)
{
	char path[kMaxPath];
	double space[2] = {0, 0};
	xsUnsignedValue length;
	void *into;
	int error;
	cofferToPath(the, 0, path);
	cofferSettleStage();
	error = cofferSpace(path, space);
	if (!error) {
		xsmcGetBufferWritable(xsArg(1), &into, &length);
		if (length != sizeof(space))
			xsRangeError("into: expected 16 bytes");
		memcpy(into, space, sizeof(space));
	}
	setResult(the, error);
}

void xs_coffer_scan_destructor(void *data)
{
	CofferScan scan = data;
	if (!scan)
		return;
	/* It was only read: nothing can be lost. */
	cofferEndList(scan->listing);
	free(scan);
}

/* (path) */
void xs_coffer_scan_open(xsMachine *the)
{
	CofferScan scan;
	char path[kMaxPath];
	int error;

	cofferToPath(the, 0, path);
	if (xsmcGetHostData(xsThis))
		xsUnknownError("scan is open");
	scan = malloc(sizeof(CofferScanRecord));
	if (!scan) {
		setResult(the, ENOMEM);
		return;
	}
	strcpy(scan->path, path);
	cofferSettleStage();
	error = cofferList(path, &scan->listing);
	if (error)
		free(scan);
	else
		xsmcSetHostData(xsThis, scan);
	setResult(the, error);
}

/* -> the next name; nothing at the end; a number: a failure. Afterwards `size` tells of that entry. */
void xs_coffer_scan_next(xsMachine *the)
{
	CofferScan scan = xsmcGetHostData(xsThis);
	char name[kMaxPath];
	int error;
	if (!scan)
		xsUnknownError("scan is closed");
	error = cofferNextName(scan->listing, name, sizeof(name));
	if (error)
		setResult(the, error);
	else if (name[0])
		xsmcSetString(xsResult, name);
}

/* (name) -> its size, -1 for a directory; anything that went away or is neither counts as a directory */
void xs_coffer_scan_size(xsMachine *the)
{
	CofferScan scan = xsmcGetHostData(xsThis);
	char name[kMaxPath], path[2 * kMaxPath + 1];
	int kind = kNothing;
	int64_t size = 0;
	if (!scan)
		xsUnknownError("scan is closed");
	cofferToPath(the, 0, name);
	cofferSettleStage();
	/* Both fit by their own bounds. */
	(void)snprintf(path, sizeof(path), "%s/%s", scan->path, name);
	if (cofferKind(path, &kind, &size) || (kind != kFile))
		xsmcSetInteger(xsResult, -1);
	else
		xsmcSetNumber(xsResult, (double)size);
}

void xs_coffer_scan_close(xsMachine *the)
{
	CofferScan scan = xsmcGetHostData(xsThis);
	if (!scan)
		return;
	xsmcSetHostData(xsThis, NULL);
	xs_coffer_scan_destructor(scan);
}
