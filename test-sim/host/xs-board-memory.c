/* SPDX-License-Identifier: MIT
 *
 * The board's memory, so that its numbers mean what they mean on an ESP32.
 *
 * ROM: a root machine, made with plain malloc, runs the firmware's modules as mcconfig's linker runs preloaded
 * ones; what they leave is then what flash would hold. Built-in prototypes and every function are frozen (as the
 * linker does), and slots are turned into the kinds whose data the collector never moves.
 * RAM: the machine that the firmware runs in takes chunks from the bottom and slots from the top of one block of the
 * manifest's `static` size. Nothing else counts as the firmware's memory.
 */
#include "xs-board.h"

/* -- RAM ------------------------------------------------------------------------------------------------- */

/* Slots hold doubles and pointers: eight bytes serve both engines, 32 and 64 bit. */
#define ALIGN_BYTES 8

static uint8_t* gBlock = NULL;
static uint8_t* gBottom = NULL;
static uint8_t* gTop = NULL;
static uint8_t* gEnd = NULL;

void boardUseBlock(uint32_t sizeBytes) {
  gBlock = calloc(1, sizeBytes);
  if (!gBlock) {
    fprintf(stderr, "no memory for a block of %u bytes\n", (unsigned)sizeBytes);
    exit(BOARD_EXIT_USAGE);
  }
  gBottom = gBlock;
  gTop = gEnd = gBlock + (sizeBytes - sizeBytes % ALIGN_BYTES);
}

void* fxAllocateChunks(txMachine* the, txSize size) {
  uint8_t* result = gBottom;
  uint32_t rounded = ((uint32_t)size + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
  (void)the;
  if (!gBlock)
    return malloc((size_t)size);
  if (rounded > (uint32_t)(gTop - gBottom))
    return NULL;
  gBottom += rounded;
  return result;
}

txSlot* fxAllocateSlots(txMachine* the, txSize count) {
  uint32_t size = (uint32_t)count * (uint32_t)sizeof(txSlot);
  (void)the;
  if (!gBlock)
    return malloc(size);
  if (size > (uint32_t)(gTop - gBottom))
    return NULL;
  gTop -= size;
  return (txSlot*)gTop;
}

/* A machine is never deleted alone: the process ends with it. */
void fxFreeChunks(txMachine* the, void* chunks) { (void)the, (void)chunks; }
void fxFreeSlots(txMachine* the, void* slots) { (void)the, (void)slots; }

/* -- ROM ------------------------------------------------------------------------------------------------- */

static void freeze(txMachine* the, txSlot* instance) {
  mxPush(mxObjectConstructor);
  mxDub();
  mxGetID(mxID(_freeze));
  mxCall();
  mxPushReference(instance);
  mxRunCount(1);
  mxPop();
}

void boardFreezeRoot(txMachine* the) {
  txSlot *heap, *slot;
  int index;
  /* Garbage would be frozen too; and the walk must not meet a slot that the collector has just freed. */
  fxCollectGarbage(the);
  fxEnableGarbageCollection(the, 0);
  for (index = mxObjectPrototypeStackIndex; index < mxCompartmentGlobalStackIndex; index++) {
    slot = the->stackTop - 1 - index;
    if (slot->kind == XS_REFERENCE_KIND)
      freeze(the, slot->value.reference);
  }
  for (heap = the->firstHeap; heap; heap = heap->next) {
    txSlot* limit = heap->value.reference;
    for (slot = heap + 1; slot < limit; slot++) {
      if ((slot->kind == XS_INSTANCE_KIND) && mxIsFunction(slot)) {
        txSlot* property;
        freeze(the, slot);
        /* Object.freeze leaves the engine's own part (code, home object) alone; flash does not. */
        for (property = slot->next; property; property = property->next)
          if ((property->flag & XS_INTERNAL_FLAG) && (property->kind != XS_PRIVATE_KIND))
            property->flag |= XS_DONT_DELETE_FLAG | XS_DONT_SET_FLAG;
      }
    }
  }
  fxEnableGarbageCollection(the, 1);
}

/* In flash nothing moves and nothing is collected: the kinds with X say so. */
static void settle(txSlot* slot) {
  switch (slot->kind) {
    case XS_STRING_KIND:
      slot->kind = XS_STRING_X_KIND;
      break;
    case XS_BIGINT_KIND:
      slot->kind = XS_BIGINT_X_KIND;
      break;
    case XS_KEY_KIND:
      slot->kind = XS_KEY_X_KIND;
      break;
    case XS_CODE_KIND:
      slot->kind = XS_CODE_X_KIND;
      break;
    case XS_CALLBACK_KIND:
      slot->kind = XS_CALLBACK_X_KIND;
      break;
    /* What the engine can alias in RAM it does; these it can only refuse to change. */
    case XS_ARRAY_BUFFER_KIND:
    case XS_DATE_KIND:
    case XS_MAP_KIND:
    case XS_SET_KIND:
    case XS_WEAK_MAP_KIND:
    case XS_WEAK_SET_KIND:
    case XS_FINALIZATION_REGISTRY_KIND:
      slot->flag |= XS_DONT_SET_FLAG;
      break;
    case XS_ARGUMENTS_SLOPPY_KIND:
    case XS_ARGUMENTS_STRICT_KIND:
    case XS_ARRAY_KIND:
    case XS_STACK_KIND: {
      txSlot* item = slot->value.array.address;
      if (item) {
        txIndex count = (txIndex)(((txChunk*)(((txByte*)item) - sizeof(txChunk)))->size) / (txIndex)sizeof(txSlot);
        if (count > slot->value.array.length)
          count = slot->value.array.length;
        for (; count > 0; count--)
          settle(item++);
      }
      break;
    }
    default:
      break;
  }
}

void boardMakeRoot(txMachine* root) {
  txSlot *heap, *slot;
  txBlock* block;
  for (heap = root->firstHeap; heap; heap = heap->next) {
    txSlot* limit = heap->value.reference;
    for (slot = heap + 1; slot < limit; slot++)
      settle(slot);
  }
  for (slot = root->stack; slot < root->stackTop; slot++)
    settle(slot);
  /* Where a copy in RAM still leads the collector to a chunk of ours, no forwarding address means: stays. */
  for (block = root->firstBlock; block; block = block->nextBlock) {
    txByte* at = (txByte*)block + sizeof(txBlock);
    while (at < block->current) {
      txChunk* chunk = (txChunk*)at;
      at = chunk->temporary;
      chunk->temporary = NULL;
    }
  }
}

/* -- counters -------------------------------------------------------------------------------------------- */

static txSize least(txSize a, txSize b) { return (a < b) ? a : b; }

void boardReadCounters(txMachine* the, double counters[BOARD_COUNTERS]) {
  static double instructions = 0, collections = 0;
  static uint16_t lastCollections = 0; /* the engine's own counter is this narrow */
  static uint32_t lastInstructions = 0;
  instructions += (uint32_t)(the->meterIndex - lastInstructions);
  lastInstructions = the->meterIndex;
  collections += (uint16_t)(the->garbageCollectionCount - lastCollections);
  lastCollections = the->garbageCollectionCount;
  /* The order is that of COUNTER_NAMES in ../xs-counters.ts. */
  counters[0] = sizeof(txSlot);
  counters[1] = the->currentHeapCount;
  counters[2] = the->peakHeapCount;
  counters[3] = the->maximumHeapCount;
  /* The engine counts what a growing chunk had in reserve twice; more than there is cannot be in use. */
  counters[4] = least(the->currentChunksSize, the->maximumChunksSize);
  counters[5] = least(the->peakChunksSize, the->maximumChunksSize);
  counters[6] = the->maximumChunksSize;
  counters[7] = (double)(the->stackTop - the->stack);
  counters[8] = (double)(the->stackTop - the->stackPeak);
  counters[9] = (double)(the->stackTop - the->stackBottom);
  counters[10] = the->keyIndex - the->keyOffset;
  counters[11] = the->keyCount - the->keyOffset;
  counters[12] = the->aliasCount;
  counters[13] = (double)(gBottom - gBlock) + (double)(gEnd - gTop);
  counters[14] = (double)(gEnd - gBlock);
  counters[15] = collections;
  counters[16] = instructions;
}
