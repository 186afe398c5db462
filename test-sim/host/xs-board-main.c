/* SPDX-License-Identifier: MIT
 *
 * The board's life: arguments, the firmware's source from Node, root machine, clone, start, then events one by one.
 * After each event the promise jobs run until none is left and an idle frame with the counters goes to Node, which
 * sends the next event only then: every run with the same events is the same run.
 */
#include "xs-board.h"

#include <signal.h>

txMachine* boardMachine = NULL;
static uint32_t gWatchdog = 0;

/* Payloads longer than this are no frame of ours (a firmware bundle is a few hundred KB). */
#define MAX_FRAME_BYTES (64u * 1024 * 1024)

extern txInteger _xsmcGetBuffer(txMachine*, txSlot*, void**, txUnsigned*, txBoolean);

/* -- what the firmware sees ------------------------------------------------------------------------------ */

/**
 * hostCall(request[, into[, more]]): sends `request` followed by `more` to Node and waits for the answer. With `into`
 * the answer is put there and its length returned; without, it is returned as an ArrayBuffer. What Node refuses is
 * thrown as an Error with Node's text.
 */
static void xsHostCall(txMachine* the) {
  void *request = NULL, *more = NULL, *into = NULL;
  txUnsigned requestBytes = 0, moreBytes = 0, intoBytes = 0;
  uint32_t size;
  int hasInto = (mxArgc > 1) && (mxArgv(1)->kind != XS_UNDEFINED_KIND);
  if (mxArgc < 1)
    mxTypeError("hostCall: no request");
  _xsmcGetBuffer(the, mxArgv(0), &request, &requestBytes, 0);
  if ((mxArgc > 2) && (mxArgv(2)->kind != XS_UNDEFINED_KIND))
    _xsmcGetBuffer(the, mxArgv(2), &more, &moreBytes, 0);
  boardWriteFrame(FRAME_CALL, request, requestBytes, more, moreBytes);
  switch (boardReadFrame(&size)) {
    case FRAME_REPLY:
      if (size > MAX_FRAME_BYTES)
        exit(BOARD_EXIT_PIPE);
      if (!hasInto) {
        into = fxArrayBuffer(the, mxResult, NULL, (txInteger)size, -1);
        boardReadPayload(into, size);
        return;
      }
      _xsmcGetBuffer(the, mxArgv(1), &into, &intoBytes, 1);
      if (size > intoBytes) {
        boardSkipPayload(size);
        mxRangeError("hostCall: the answer has %u bytes, there is room for %u", (unsigned)size, (unsigned)intoBytes);
      }
      boardReadPayload(into, size);
      mxResult->kind = XS_INTEGER_KIND;
      mxResult->value.integer = (txInteger)size;
      return;
    case FRAME_THROW: {
      char text[256]; /* a sentence; longer ones are cut */
      uint32_t kept = (size < sizeof(text)) ? size : (uint32_t)sizeof(text) - 1;
      boardReadPayload(text, kept);
      text[kept] = 0;
      boardSkipPayload(size - kept);
      mxUnknownError("%s", text);
      return;
    }
    default:
      exit(BOARD_EXIT_PIPE);
  }
}

/** hostTrace(text): a line for Node's log. */
static void xsHostTrace(txMachine* the) {
  if (mxArgc < 1)
    return;
  fxToString(the, mxArgv(0));
  boardWriteFrame(FRAME_TRACE, mxArgv(0)->value.string, (uint32_t)strlen(mxArgv(0)->value.string), NULL, 0);
}

/** hostMemory(into): the counters as little-endian doubles, for the firmware's own memory meter. */
static void xsHostMemory(txMachine* the) {
  double counters[BOARD_COUNTERS];
  void* into = NULL;
  txUnsigned intoBytes = 0;
  if (mxArgc < 1)
    mxTypeError("hostMemory: no buffer");
  _xsmcGetBuffer(the, mxArgv(0), &into, &intoBytes, 1);
  if (intoBytes < sizeof(counters))
    mxRangeError("hostMemory: %u bytes are needed", (unsigned)sizeof(counters));
  boardReadCounters(the, counters);
  memcpy(into, counters, sizeof(counters));
}

static void defineGlobal(txMachine* the, const char* name, txCallback callback, txInteger length) {
  fxNewHostFunction(the, callback, length, fxNewNameC(the, (txString)(uintptr_t)name), XS_NO_ID);
  mxPush(mxGlobal);
  mxSetID(fxNewNameC(the, (txString)(uintptr_t)name));
  mxPop();
}

/* -- running --------------------------------------------------------------------------------------------- */

/* Runs BODY with the machine entered, as `the` (so MACHINE must not be called that); an exception ends the machine. */
#define RUN(MACHINE, BODY)                         \
  do {                                             \
    txMachine* the = (MACHINE);                    \
    mxTry(the) {                                   \
      fxBeginHost(the);                            \
      BODY;                                        \
      fxEndHost(the);                              \
    }                                              \
    mxCatch(the) {                                 \
      fxAbort(the, XS_UNHANDLED_EXCEPTION_EXIT);   \
    }                                              \
  } while (0)

static void importFirmware(txMachine* the) {
  mxPushStringX((txString)(uintptr_t)"firmware");
  fxAwaitImport(the, XS_IMPORT_DEFAULT);
}

static void startFirmware(txMachine* the) {
  mxPushUndefined();
  importFirmware(the);
  mxCall();
  mxRunCount(0);
  mxPop();
}

static void deliverEvent(txMachine* the, uint32_t size) {
  void* into;
  txSlot* bytes;
  mxPushUndefined();
  bytes = the->stack;
  into = fxArrayBuffer(the, bytes, NULL, (txInteger)size, -1);
  boardReadPayload(into, size);
  mxPush(mxGlobal);
  mxDub();
  mxGetID(fxNewNameC(the, (txString)(uintptr_t)"onHostEvent"));
  mxCall();
  mxPushSlot(bytes);
  mxRunCount(1);
  mxPop();
  mxPop();
}

static void drainAndIdle(txMachine* machine) {
  double counters[BOARD_COUNTERS];
  while (boardHasJobs) {
    boardHasJobs = 0;
    RUN(machine, fxRunPromiseJobs(the));
  }
  fxCheckUnhandledRejections(machine, 1);
  boardReadCounters(machine, counters);
  boardWriteFrame(FRAME_IDLE, counters, sizeof(counters), NULL, 0);
}

static void serve(txMachine* machine) {
  for (;;) {
    uint32_t size;
    uint8_t type;
    boardServeDebugger(machine);
    type = boardReadFrame(&size);
    if ((type == FRAME_EVENT) && (size <= MAX_FRAME_BYTES)) {
      boardSetWatchdog(machine, gWatchdog);
      RUN(machine, deliverEvent(the, size));
    } else if ((type == FRAME_COLLECT) && (size == 0)) {
      fxCollectGarbage(machine);
    } else {
      exit(BOARD_EXIT_PIPE);
    }
    drainAndIdle(machine);
  }
}

static txMachine* makeRoot(const txCreation* board) {
  /* Large enough for any firmware that fits a flash; costs nothing on the board. */
  txCreation creation = {4 * 1024 * 1024, 1024 * 1024, 64 * 1024, 16 * 1024, 8 * 1024, 16 * 1024, 1024, 0, 0, 64 * 1024, 1993, 0};
  txMachine* root;
  creation.nameModulo = board->nameModulo; /* the clone copies these tables as they are */
  creation.symbolModulo = board->symbolModulo;
  root = fxCreateMachine(&creation, (txString)(uintptr_t)"root", NULL, XS_NO_ID);
  if (!root)
    exit(BOARD_EXIT_USAGE);
  RUN(root, {
    defineGlobal(the, "hostCall", xsHostCall, 3);
    defineGlobal(the, "hostTrace", xsHostTrace, 1);
    defineGlobal(the, "hostMemory", xsHostMemory, 1);
    importFirmware(the);
  });
  RUN(root, boardFreezeRoot(the));
  fxShareMachine(root);
  boardMakeRoot(root);
  return root;
}

/* Usage: xs-board NAME WATCHDOG XSBUG|- and the twelve numbers of txCreation in its own order. */
int main(int argc, char** argv) {
  txCreation creation;
  txSize* field = (txSize*)&creation;
  char* source;
  uint32_t size;
  int index;
  txMachine* root;
  if (argc != 4 + 12) {
    fprintf(stderr, "usage: xs-board NAME WATCHDOG XSBUG|- CREATION (12 numbers)\n");
    return BOARD_EXIT_USAGE;
  }
  signal(SIGPIPE, SIG_IGN);
  gWatchdog = (uint32_t)strtoul(argv[2], NULL, 10);
  for (index = 0; index < 12; index++)
    field[index] = (txSize)strtol(argv[4 + index], NULL, 10);
  if ((boardReadFrame(&size) != FRAME_MODULE) || (size > MAX_FRAME_BYTES) || !(source = malloc(size + 1)))
    return BOARD_EXIT_PIPE;
  boardReadPayload(source, size);
  source[size] = 0;
  boardSetModule(source, size);
  root = makeRoot(&creation);
  if (strcmp(argv[3], "-"))
    boardSetDebugger(argv[3]);
  boardUseBlock((uint32_t)creation.staticSize);
  boardMachine = fxCloneMachine(&creation, root, argv[1], NULL);
  if (!boardMachine)
    return BOARD_EXIT_USAGE;
  boardMachine->meterIndex = 0;
  boardSetWatchdog(boardMachine, gWatchdog);
  RUN(boardMachine, startFirmware(the));
  drainAndIdle(boardMachine);
  serve(boardMachine);
}
