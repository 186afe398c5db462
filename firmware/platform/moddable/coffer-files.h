/* SPDX-License-Identifier: MIT */
/* What coffer-files.c and coffer-folders.c share of their end towards the engine. */
#ifndef COFFER_FILES_H
#define COFFER_FILES_H

#include "xsmc.h"
#include "coffer-disk.h"

/* `-(errno * 8 + kind)`: coffer-files.ts knows the other end. */
int cofferFailure(int error);
/* Copies argument `index`, of kMaxPath bytes at most, because the next call into the engine may move strings. */
void cofferToPath(xsMachine *the, int index, char *path);
/* Before anything that looks at files by name, or at another file. What fails here is its owner's. */
void cofferSettleStage(void);

#endif
