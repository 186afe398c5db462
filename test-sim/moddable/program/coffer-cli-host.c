// SPDX-License-Identifier: MIT
/* The process around the test program: one machine, GLib's loop, and what a command line needs. */
#include "xsAll.h"
#include "xs.h"
#include "mc.xs.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* An exit status of 100 + n is the engine's own: n as in the SDK's xsCommon.h, 1 no memory, 5 an exception. */
enum { kAbortStatus = 100, kMainFailed = 99 };

static GMainLoop *gLoop;
static int gStatus, gIsDone, gArgc;
static char **gArgv;

/* globalThis.abort(message, exception), as the SDK's hosts call it with XS_ABORTHOOK. */
static void callAbortHook(xsMachine *the, int status)
{
	fxBeginHost(the);
	{
		txSlot *exception;
		mxPush(mxException);
		exception = the->stack;
		mxException = xsUndefined;
		mxTry(the) {
			txID id = fxFindName(the, "abort");
			mxPush(mxGlobal);
			if (fxHasID(the, id)) {
				mxPush(mxGlobal);
				fxCallID(the, id);
				mxPushStringC((char *)fxAbortString(status));
				mxPushSlot(exception);
				fxRunCount(the, 2);
				mxPop();
			}
		}
		mxCatch(the) {
		}
	}
	fxEndHost(the);
}

void fxAbort(xsMachine *the, int status)
{
	static int isEnding = 0;
	if ((status == XS_UNHANDLED_EXCEPTION_EXIT) || (status == XS_UNHANDLED_REJECTION_EXIT))
		fprintf(stderr, "exception: %s\n", xsToString(xsException));
	if (!isEnding++)
		callAbortHook(the, status);
	fprintf(stderr, "abort: %s\n", fxAbortString(status));
	exit(kAbortStatus + status);
}

/* (text) */
void xs_coffer_host_print(xsMachine *the)
{
	printf("%s\n", xsToString(xsArg(0)));
	fflush(stdout);
}

/* (index) -> text, or nothing */
void xs_coffer_host_argument(xsMachine *the)
{
	int index = xsToInteger(xsArg(0)) + 1;
	if ((index > 0) && (index < gArgc))
		xsResult = xsString(gArgv[index]);
}

/* (status): when the current turn is over */
void xs_coffer_host_exit(xsMachine *the)
{
	gStatus = xsToInteger(xsArg(0));
	gIsDone = 1;
	g_main_loop_quit(gLoop);
}

int main(int argc, char *argv[])
{
	xsMachine *machine;
	txPreparation *preparation = xsPreparation();
	txCreation creation = preparation->creation;
	gArgc = argc;
	gArgv = argv;
	signal(SIGPIPE, SIG_IGN);
	gLoop = g_main_loop_new(NULL, FALSE);
	if (argc == 5) {
		/* CONFIG CHUNK-BYTES SLOTS STACK-SLOTS: memory that never grows, as a board's. */
		creation.initialChunkSize = atoi(argv[2]);
		creation.initialHeapCount = atoi(argv[3]);
		creation.stackCount = atoi(argv[4]);
		creation.incrementalChunkSize = creation.incrementalHeapCount = 0;
	}
	machine = fxPrepareMachine(&creation, preparation, "coffer", NULL, NULL);
	xsBeginHost(machine);
	{
		xsTry {
			xsResult = xsAwaitImport("coffer/test-sim/moddable/program/main", XS_IMPORT_NAMESPACE);
		}
		xsCatch {
			fprintf(stderr, "main: %s\n", xsToString(xsException));
			exit(kMainFailed);
		}
	}
	xsEndHost(machine);
	if (!gIsDone)
		g_main_loop_run(gLoop);
	fxCheckUnhandledRejections(machine, 1);
	xsDeleteMachine(machine);
	return gStatus;
}
