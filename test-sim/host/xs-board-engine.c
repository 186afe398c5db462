/* SPDX-License-Identifier: MIT
 *
 * What the engine calls back: the one firmware module, parsing, promise jobs, the end of a machine, the debugger.
 */
#include "xs-board.h"
#include "xsScript.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

/* -- reports: the last lines the engine would have printed, for the failure frame ----------------------- */

#define REPORT_BYTES 480
static char gReport[REPORT_BYTES + 1] = "";

int boardReportList(const char* format, va_list arguments) {
  char line[240];
  int count = vsnprintf(line, sizeof(line), format, arguments);
  size_t size = strlen(line), used = strlen(gReport);
  if (used + size > REPORT_BYTES) { /* the oldest goes */
    size_t drop = used + size - REPORT_BYTES;
    memmove(gReport, gReport + drop, used - drop + 1);
    used -= drop;
  }
  memcpy(gReport + used, line, size + 1);
  return count;
}

int boardReport(const char* format, ...) {
  va_list arguments;
  int count;
  va_start(arguments, format);
  count = boardReportList(format, arguments);
  va_end(arguments);
  return count;
}

/* -- the module ------------------------------------------------------------------------------------------ */

static char* gSource = NULL;
static uint32_t gSourceBytes = 0;

void boardSetModule(char* source, uint32_t sizeBytes) {
  gSource = source;
  gSourceBytes = sizeBytes;
}

/* esbuild has made one module of everything: whatever name the engine resolves is that one, "firmware". */
txID fxFindModule(txMachine* the, txSlot* realm, txID moduleID, txSlot* name) {
  char text[64];
  (void)realm, (void)moduleID;
  fxToStringBuffer(the, name, text, sizeof(text));
  return strcmp(text, "firmware") ? XS_NO_ID : fxNewNameC(the, "firmware");
}

void fxLoadModule(txMachine* the, txSlot* module, txID moduleID) {
  txStringCStream stream = {gSource, 0, (txSize)gSourceBytes};
  txScript* script = fxParseScript(the, &stream, fxStringCGetter, mxDebugFlag);
  if (script)
    fxResolveModule(the, module, moduleID, script, NULL, NULL);
}

/* Lines are always kept: an error that names the .ts line is worth the code size, which is not RAM on a device. */
txScript* fxParseScript(txMachine* the, void* stream, txGetter getter, txUnsigned flags) {
  txParser parser;
  txParserJump jump;
  txScript* volatile script = NULL; /* survives the jump of a syntax error */
  fxInitializeParser(&parser, the, the->parserBufferSize, the->parserTableModulo);
  parser.firstJump = &jump;
  if (c_setjmp(jump.jmp_buf) == 0) {
    fxParserTree(&parser, stream, getter, flags | mxDebugFlag, NULL);
    fxParserHoist(&parser);
    fxParserBind(&parser);
    script = fxParserCode(&parser);
  }
  fxTerminateParser(&parser);
  return script;
}

int boardHasJobs = 0;

void fxQueuePromiseJobs(txMachine* the) {
  (void)the;
  boardHasJobs = 1;
}

/* -- the end --------------------------------------------------------------------------------------------- */

/* The exception as text with its stack. Runs firmware code (getters, toString), so it may fail or abort. */
static void describeException(txMachine* the, char* text, size_t textBytes) {
  mxTry(the) {
    mxPush(mxException);
    if (mxIsReference(the->stack)) {
      mxDub();
      mxGetID(mxID(_stack));
      if (mxIsUndefined(the->stack))
        mxPop();
    }
    fxToString(the, the->stack);
    snprintf(text, textBytes, "%s", the->stack->value.string);
    mxPop();
  }
  mxCatch(the) { snprintf(text, textBytes, "(an exception that cannot be described)"); }
}

/* By the engine's numbers, in the words of the SDK. */
static const char* const gEndings[] = {"debugger", "memory full", "stack overflow", "fatal", "dead strip",
  "unhandled exception", "not enough keys", "too much computation", "unhandled rejection"};
#define ENDINGS ((int)(sizeof(gEndings) / sizeof(gEndings[0])))

/* globalThis.abort(message, exception), as the SDK's XS_ABORTHOOK calls it; the firmware has its last word in it. What it
 * answers does not matter here: the machine ends. */
static void callAbortHook(txMachine* the, const char* message) {
  txID id = fxFindName(the, "abort");
  if (id == XS_NO_ID)
    return;
  fxBeginHost(the);
  {
    txSlot* exception;
    mxPush(mxException);
    exception = the->stack;
    mxException.kind = XS_UNDEFINED_KIND;
    mxTry(the) {
      mxPush(mxGlobal);
      mxDub();
      mxGetID(id);
      if (mxIsReference(the->stack)) {
        mxCall();
        mxPushStringX((txString)(uintptr_t)message);
        mxPushSlot(exception);
        mxRunCount(2);
      }
    }
    mxCatch(the) {
    }
  }
  fxEndHost(the);
}

void fxAbort(txMachine* the, int status) {
  static int isEnding = 0;
  static int firstStatus = 0;
  static char text[2048] = "";
  if (!isEnding) {
    isEnding = 1;
    firstStatus = status;
    if ((status == XS_UNHANDLED_EXCEPTION_EXIT) || (status == XS_UNHANDLED_REJECTION_EXIT))
      describeException(the, text, sizeof(text));
    /* not while the stack is full or the loop is blocked: what the firmware would do is just that */
    if ((the == boardMachine) && (status != XS_STACK_OVERFLOW_EXIT) && (status != XS_TOO_MUCH_COMPUTATION_EXIT) &&
        (status != XS_DEBUGGER_EXIT))
      callAbortHook(the, (status < ENDINGS) ? gEndings[status] : "unknown");
  }
  if (!text[0])
    snprintf(text, sizeof(text), "%s", gReport);
  if (the == boardMachine) {
    double counters[BOARD_COUNTERS];
    boardReadCounters(the, counters);
    boardWriteFrame(FRAME_FAILURE, counters, sizeof(counters), text, (uint32_t)strlen(text));
  } else { /* still making the root machine: a syntax error, or a module that throws when it is loaded */
    double counters[BOARD_COUNTERS] = {0};
    boardWriteFrame(FRAME_FAILURE, counters, sizeof(counters), text, (uint32_t)strlen(text));
  }
  _exit(BOARD_EXIT_ENGINE + firstStatus);
}

/* -- watchdog -------------------------------------------------------------------------------------------- */

static txBoolean barkAtLoop(txMachine* the, txU4 count) {
  (void)the, (void)count;
  boardReport("the watchdog's count of instructions was used up by one event\n");
  return 0;
}

/* Zero: none. Set anew before every event. */
void boardSetWatchdog(txMachine* the, uint32_t instructions) {
  if (instructions == 0)
    return;
  the->meterCallback = barkAtLoop;
  the->meterInterval = instructions;
  the->meterCount = the->meterIndex + instructions;
  if (the->meterCount < the->meterIndex)
    the->meterCount = UINT32_MAX; /* the 32-bit counter is about to wrap: one event gets less */
}

/* -- debugger: xsbug's protocol over TCP, by the engine; here only the socket ---------------------------- */

static const char* gDebuggerAddress = NULL;
static int gSocket = -1;

void boardSetDebugger(const char* address) { gDebuggerAddress = address; }

void fxConnect(txMachine* the) {
  char host[256];
  const char* colon;
  struct addrinfo hints, *list = NULL, *entry;
  (void)the;
  if (!gDebuggerAddress) /* also while the root machine is made: only the firmware is debugged */
    return;
  colon = strrchr(gDebuggerAddress, ':');
  if (!colon || ((size_t)(colon - gDebuggerAddress) >= sizeof(host)))
    return;
  memcpy(host, gDebuggerAddress, (size_t)(colon - gDebuggerAddress));
  host[colon - gDebuggerAddress] = 0;
  memset(&hints, 0, sizeof(hints));
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(host, colon + 1, &hints, &list) == 0) {
    for (entry = list; entry && (gSocket < 0); entry = entry->ai_next) {
      int s = socket(entry->ai_family, entry->ai_socktype, entry->ai_protocol);
      if ((s >= 0) && (connect(s, entry->ai_addr, entry->ai_addrlen) == 0))
        gSocket = s;
      else if (s >= 0)
        close(s);
    }
    freeaddrinfo(list);
  }
  if (gSocket < 0)
    fprintf(stderr, "xsbug does not answer at %s: start it, or leave --xsbug out\n", gDebuggerAddress);
}

void fxDisconnect(txMachine* the) {
  (void)the;
  if (gSocket >= 0)
    close(gSocket);
  gSocket = -1;
}

txBoolean fxIsConnected(txMachine* the) {
  (void)the;
  return gSocket >= 0;
}

/* Asked at every line of the firmware: without a debugger it must cost nothing. */
txBoolean fxIsReadable(txMachine* the) {
  struct pollfd item = {gSocket, POLLIN, 0};
  (void)the;
  return (gSocket >= 0) && (poll(&item, 1, 0) > 0);
}

void fxReceive(txMachine* the) {
  ssize_t count = (gSocket >= 0) ? recv(gSocket, the->debugBuffer, sizeof(the->debugBuffer) - 1, 0) : 0;
  if (count <= 0) {
    fxDisconnect(the);
    count = 0;
  }
  the->debugOffset = (txSize)count;
  the->debugBuffer[count] = 0;
}

void fxSend(txMachine* the, txBoolean more) {
  const char* from = the->echoBuffer;
  size_t left = (size_t)the->echoOffset;
  (void)more;
  while ((left > 0) && (gSocket >= 0)) {
    ssize_t count = send(gSocket, from, left, MSG_NOSIGNAL);
    if (count <= 0) {
      fxDisconnect(the);
      return;
    }
    from += count;
    left -= (size_t)count;
  }
}

/* Waits for Node's next frame and serves the debugger meanwhile (breakpoints set while the firmware sleeps). */
void boardServeDebugger(txMachine* the) {
  while ((gSocket >= 0) && !boardHasBufferedInput()) {
    struct pollfd items[2] = {{boardInput, POLLIN, 0}, {gSocket, POLLIN, 0}};
    if (poll(items, 2, -1) < 0)
      continue;
    if (items[0].revents)
      return;
    if (items[1].revents)
      fxDebugCommand(the);
  }
}
