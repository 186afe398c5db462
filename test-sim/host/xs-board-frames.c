/* SPDX-License-Identifier: MIT
 *
 * Frames over the two pipes to Node: descriptor 3 brings, descriptor 4 takes. Everything blocks: the board has
 * nothing to do while Node has not answered. A closed or broken pipe ends the process, for a board without the
 * world around it has no use.
 */
#include "xs-board.h"

#include <sys/uio.h>

const int boardInput = 3;
static const int boardOutput = 4;

/* One read usually brings a whole reply: most are below this. */
#define INPUT_BYTES 8192
static uint8_t gInput[INPUT_BYTES];
static uint32_t gInputStart = 0;
static uint32_t gInputEnd = 0;

static uint32_t readSome(void* into, uint32_t sizeBytes) {
  for (;;) {
    ssize_t count = read(boardInput, into, sizeBytes);
    if (count > 0)
      return (uint32_t)count;
    if ((count < 0) && (errno == EINTR))
      continue;
    exit(BOARD_EXIT_PIPE);
  }
}

int boardHasBufferedInput(void) { return gInputStart < gInputEnd; }

void boardReadPayload(void* into, uint32_t sizeBytes) {
  uint8_t* to = into;
  while (sizeBytes > 0) {
    uint32_t count = gInputEnd - gInputStart;
    if (count > 0) {
      if (count > sizeBytes)
        count = sizeBytes;
      memcpy(to, gInput + gInputStart, count);
      gInputStart += count;
    } else if (sizeBytes >= INPUT_BYTES) {
      count = readSome(to, sizeBytes); /* large payloads go straight to where they belong */
    } else {
      gInputStart = 0;
      gInputEnd = readSome(gInput, INPUT_BYTES);
      continue;
    }
    to += count;
    sizeBytes -= count;
  }
}

void boardSkipPayload(uint32_t sizeBytes) {
  uint8_t scrap[256];
  while (sizeBytes > 0) {
    uint32_t count = (sizeBytes < sizeof(scrap)) ? sizeBytes : (uint32_t)sizeof(scrap);
    boardReadPayload(scrap, count);
    sizeBytes -= count;
  }
}

uint8_t boardReadFrame(uint32_t* sizeBytes) {
  uint8_t head[5];
  boardReadPayload(head, sizeof(head));
  *sizeBytes = (uint32_t)head[1] | ((uint32_t)head[2] << 8) | ((uint32_t)head[3] << 16) | ((uint32_t)head[4] << 24);
  return head[0];
}

void boardWriteFrame(uint8_t type, const void* a, uint32_t aBytes, const void* b, uint32_t bBytes) {
  uint32_t size = aBytes + bBytes;
  uint8_t head[5] = {type, (uint8_t)size, (uint8_t)(size >> 8), (uint8_t)(size >> 16), (uint8_t)(size >> 24)};
  struct iovec parts[3] = {
      {head, sizeof(head)}, {(void*)(uintptr_t)a, aBytes}, {(void*)(uintptr_t)b, bBytes}};
  struct iovec* part = parts;
  int left = 3;
  while (left > 0) {
    if (part->iov_len == 0) {
      part++;
      left--;
      continue;
    }
    ssize_t count = writev(boardOutput, part, left);
    if (count < 0) {
      if (errno == EINTR)
        continue;
      _exit(BOARD_EXIT_PIPE); /* not exit: this also runs inside an abort */
    }
    while ((count > 0) && (left > 0)) {
      size_t step = ((size_t)count < part->iov_len) ? (size_t)count : part->iov_len;
      part->iov_base = (uint8_t*)part->iov_base + step;
      part->iov_len -= step;
      count -= (ssize_t)step;
      if (part->iov_len == 0) {
        part++;
        left--;
      }
    }
  }
}
