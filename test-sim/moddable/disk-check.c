// SPDX-License-Identifier: MIT
/* What coffer-disk.h promises, against the system that this is linked with. Argument: a folder that is empty. */
#include "../../firmware/platform/moddable/coffer-disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int gFailures;
static char gRoot[kMaxPath];

static void check(const char *what, int isTrue)
{
	printf("%s %s\n", isTrue ? "ok" : "not ok", what);
	gFailures += !isTrue;
}

/* Good until the next but three. */
static const char *in(const char *name)
{
	static char paths[4][2 * kMaxPath];
	static int next;
	char *path = paths[next++ % 4];
	(void)snprintf(path, sizeof(paths[0]), "%s/%s", gRoot, name);
	return path;
}

static int isKind(const char *name, int expected)
{
	int kind = -1;
	return (cofferKind(in(name), &kind, NULL) == 0) && (kind == expected);
}

static void checkFiles(void)
{
	static const char text[] = "coffer";
	char bytes[16] = {0};
	CofferHandle handle, other;
	int64_t size = -1;
	size_t count = 0;

	check("a file that is not there is not found", cofferOpen(in("a"), kRead, &handle) == ENOENT);
	check("nor in a folder that is not there", cofferOpen(in("no/a"), kUpdate, &handle) == ENOENT);
	check("a file is made", cofferOpen(in("a"), kCreate, &handle) == 0);
	check("and not a second time", cofferOpen(in("a"), kCreate, &other) == EEXIST);
	check("it is empty", (cofferSize(handle, &size) == 0) && (size == 0));
	check("it takes bytes", (cofferWriteSome(handle, text, 6, &count) == 0) && (count == 6));
	check("it is made durable", cofferSync(handle) == 0);
	check("it is extended", (cofferExtend(&handle, in("a"), 6, 100000) == 0) && (cofferSize(handle, &size) == 0) && (size == 100000));
	check("it takes bytes anywhere",
		(cofferSeek(handle, 99994) == 0) && (cofferWriteSome(handle, text, 6, &count) == 0) && (count == 6));
	check("it is opened twice", cofferOpen(in("a"), kRead, &other) == 0);
	check("and read from anywhere",
		(cofferSeek(other, 99994) == 0) && (cofferReadSome(other, bytes, 16, &count) == 0) && (count == 6)
			&& (memcmp(bytes, text, 6) == 0));
	check("its end is 0 bytes", (cofferReadSome(other, bytes, 16, &count) == 0) && (count == 0));
	check("what is read only can be flushed", cofferSync(other) == 0);
	check("and not written", cofferWriteSome(other, text, 6, &count) != 0);
	check("it is truncated", (cofferTruncate(handle, 6) == 0) && (cofferSize(handle, &size) == 0) && (size == 6));
	check("it is closed", (cofferClose(handle) == 0) && (cofferClose(other) == 0));
	check("it is a file of its size", isKind("a", kFile) && (cofferKind(in("a"), &(int){0}, &size) == 0) && (size == 6));
}

static void checkFolders(void)
{
	CofferListing listing;
	CofferHandle handle;
	char name[kMaxPath];
	int count = 0, sawName = 0;

	check("a folder is made", cofferMakeDirectory(in("folder")) == 0);
	check("and not a second time", cofferMakeDirectory(in("folder")) == EEXIST);
	check("nor in one that is not there", cofferMakeDirectory(in("no/folder")) == ENOENT);
	check("it is one", isKind("folder", kDirectory));
	check("its names are made durable", cofferSyncDirectory(gRoot) == 0);
	check("it is no file to write", cofferOpen(in("folder"), kUpdate, &handle) == EISDIR);
	check("a name of more than ASCII is made",
		(cofferOpen(in("folder/caf\xc3\xa9"), kCreate, &handle) == 0) && (cofferClose(handle) == 0));
	check("a folder with something in it stays", cofferRemoveDirectory(in("folder")) == ENOTEMPTY);
	check("it is listed", cofferList(in("folder"), &listing) == 0);
	while ((cofferNextName(listing, name, sizeof(name)) == 0) && name[0]) {
		count++;
		sawName |= strcmp(name, "caf\xc3\xa9") == 0;
	}
	cofferEndList(listing);
	check("with its one name, as it was given", (count == 1) && sawName);
	check("what is not there is not listed", cofferList(in("no"), &listing) == ENOENT);
	check("a file is removed", (cofferRemoveFile(in("folder/caf\xc3\xa9")) == 0) && (cofferRemoveFile(in("folder/x")) == ENOENT));
	check("an empty folder is removed", (cofferRemoveDirectory(in("folder")) == 0) && isKind("folder", kNothing));
}

static void checkRest(void)
{
	double both[2] = {0, 0};
	CofferHandle handle;
	int64_t size = 0;
	size_t stage = 0;

	check("a second file is made", (cofferOpen(in("b"), kCreate, &handle) == 0) && (cofferClose(handle) == 0));
	check("one takes the place of the other",
		(cofferReplace(in("a"), in("b")) == 0) && isKind("a", kNothing) && (cofferKind(in("b"), &(int){0}, &size) == 0) && (size == 6));
	check("what is not there replaces nothing", cofferReplace(in("a"), in("b")) == ENOENT);
	check("there is room", (cofferSpace(gRoot, both) == 0) && (both[1] > 0) && (both[0] >= both[1]));
	check("none where nothing is", cofferSpace(in("no"), both) == ENOENT);
	check("there is a stage", (cofferStageMemory(&stage) != NULL) && (stage >= 2048) && (stage % 512 == 0));
}

int main(int count, char **arguments)
{
	if ((count != 2) || (strlen(arguments[1]) >= kMaxPath))
		return 2;
	strcpy(gRoot, arguments[1]);
	checkFiles();
	checkFolders();
	checkRest();
	return gFailures ? 1 : 0;
}
