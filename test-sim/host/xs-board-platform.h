/* SPDX-License-Identifier: MIT
 *
 * What the XS engine asks of its platform (it includes this through XSPLATFORM). The board is single-threaded,
 * keeps the heap in one static block (xs-board-memory.c) and prints nothing: whatever the engine reports goes into
 * the failure frame.
 */
#ifndef XS_BOARD_PLATFORM_H
#define XS_BOARD_PLATFORM_H

#if defined(__APPLE__)
#undef mxMacOSX
#define mxMacOSX 1
#else
#undef mxLinux
#define mxLinux 1
#endif

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Ours: chunk and slot allocation, module loading, script parsing, promise queue, abort, debugger. */
#define mxUseDefaultMachinePlatform 1
#define mxUseDefaultBuildKeys 1
#define mxUseDefaultSharedChunks 1

#define mxMachinePlatform void* host;

/* The engine's console: kept, not printed (standard output belongs to nobody here). */
#define c_printf boardReport
#define c_vprintf boardReportList
extern int boardReport(const char* format, ...);
extern int boardReportList(const char* format, va_list arguments);

#endif
