/* SPDX-License-Identifier: MIT
 *
 * The XS board's host process: one XS machine, one pair of pipes to Node. See ../README.md for the frames.
 */
#ifndef XS_BOARD_H
#define XS_BOARD_H

#include "xsAll.h"

/* Exit statuses; an engine abort exits with BOARD_EXIT_ENGINE plus the engine's own number (../xs-exit.ts). */
enum {
  BOARD_EXIT_OK = 0,
  BOARD_EXIT_USAGE = 2,
  BOARD_EXIT_PIPE = 3, /* Node went away, or sent what the protocol does not allow */
  BOARD_EXIT_ENGINE = 10
};

/* Frames: one type byte, four bytes length (little endian), payload. */
enum {
  FRAME_MODULE = 'M', /* to board: the firmware's source */
  FRAME_EVENT = 'E',  /* to board: handed to onHostEvent */
  FRAME_COLLECT = 'G', /* to board: collect garbage, then idle */
  FRAME_REPLY = 'R',  /* to board: what a host call gave */
  FRAME_THROW = 'X',  /* to board: a host call failed, UTF-8 text */
  FRAME_CALL = 'H',   /* to Node: a host call; the board waits */
  FRAME_TRACE = 'T',  /* to Node: UTF-8 text, no answer */
  FRAME_IDLE = 'I',   /* to Node: nothing left to do; counters */
  FRAME_FAILURE = 'F' /* to Node: the last frame; counters, then UTF-8 text */
};

/* xs-board-frames.c */
extern uint8_t boardReadFrame(uint32_t* sizeBytes);
extern void boardReadPayload(void* into, uint32_t sizeBytes);
extern void boardSkipPayload(uint32_t sizeBytes);
extern void boardWriteFrame(uint8_t type, const void* a, uint32_t aBytes, const void* b, uint32_t bBytes);
extern int boardHasBufferedInput(void);
extern const int boardInput;

/* xs-board-memory.c */
extern void boardUseBlock(uint32_t sizeBytes);
extern void boardFreezeRoot(txMachine* the);
extern void boardMakeRoot(txMachine* root);
#define BOARD_COUNTERS 17
extern void boardReadCounters(txMachine* the, double counters[BOARD_COUNTERS]);

/* xs-board-main.c */
extern txMachine* boardMachine;

/* xs-board-engine.c */
extern int boardHasJobs;
extern void boardSetModule(char* source, uint32_t sizeBytes);
extern void boardSetDebugger(const char* address);
extern void boardServeDebugger(txMachine* the);
extern void boardSetWatchdog(txMachine* the, uint32_t instructions);

#endif
