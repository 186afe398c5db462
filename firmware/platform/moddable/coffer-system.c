// SPDX-License-Identifier: MIT
/*
 * Time, randomness, memory counters and reset: what the SDK does not have, or not well enough (its `Time.ticks` is the
 * wall clock on Linux, its random generator starts from rand()).
 */
#ifdef _WIN32
	#define _CRT_RAND_S /* declares rand_s, the system's secure generator */
#endif
#include "xsAll.h"
#include "xsmc.h"
#include "mc.xs.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef ESP_PLATFORM
	#include "esp_attr.h"
	#include "esp_random.h"
	#include "esp_system.h"
	#include "esp_timer.h"
	#include <sys/time.h>
#elif defined(_WIN32)
	#include <windows.h>
#else
	#include <errno.h>
	#include <sys/random.h>
	#include <sys/time.h>
	#include <time.h>
#endif

#ifdef ESP_PLATFORM
/* What the next start is told of this one's end: RTC memory keeps it over every reset but one of the power. The engine
 * ends an abort with esp_restart, too, so a restart that was meant says so. */
RTC_NOINIT_ATTR uint32_t gCofferEnding;
#define COFFER_ENDING_MEANT 0x436f4d65u
#define COFFER_ENDING_WATCHDOG 0x436f5764u
#endif

/* -> milliseconds since boot (ESP32) or since some moment (Linux) */
void xs_coffer_system_monotonicMs(xsMachine *the)
{
#ifdef ESP_PLATFORM
	xsResult = xsNumber((double)(esp_timer_get_time() / 1000));
#elif defined(_WIN32)
	xsResult = xsNumber((double)GetTickCount64());
#else
	struct timespec now;
	if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
		xsUnknownError("no clock");
	xsResult = xsNumber((double)now.tv_sec * 1000.0 + (double)(now.tv_nsec / 1000000));
#endif
}

void xs_coffer_system_unixMs(xsMachine *the)
{
#ifdef _WIN32
	/* Hundreds of nanoseconds since 1601. */
	FILETIME now;
	uint64_t ticks;
	GetSystemTimeAsFileTime(&now);
	ticks = ((uint64_t)now.dwHighDateTime << 32) | now.dwLowDateTime;
	xsResult = xsNumber((double)(ticks / 10000) - 11644473600000.0);
#else
	struct timeval now;
	if (gettimeofday(&now, NULL) < 0)
		xsUnknownError("no clock");
	xsResult = xsNumber((double)now.tv_sec * 1000.0 + (double)(now.tv_usec / 1000));
#endif
}

/* (into) */
void xs_coffer_system_random(xsMachine *the)
{
	void *into;
	xsUnsignedValue length;
	xsmcGetBufferWritable(xsArg(0), &into, &length);
#ifdef ESP_PLATFORM
	esp_fill_random(into, length);
#elif defined(_WIN32)
	{
		xsUnsignedValue done = 0;
		while (done < length) {
			unsigned int number;
			xsUnsignedValue count = (length - done < sizeof(number)) ? length - done : (xsUnsignedValue)sizeof(number);
			if (rand_s(&number) != 0)
				xsUnknownError("rand_s failed");
			memcpy((uint8_t *)into + done, &number, count);
			done += count;
		}
	}
#elif defined(__APPLE__)
	{
		enum { kMost = 256 };
		xsUnsignedValue done = 0;
		while (done < length) {
			xsUnsignedValue count = (length - done < kMost) ? length - done : kMost;
			if (getentropy((uint8_t *)into + done, count) < 0)
				xsUnknownError("getentropy failed");
			done += count;
		}
	}
#else
	{
		xsUnsignedValue done = 0;
		while (done < length) {
			ssize_t count = getrandom((uint8_t *)into + done, length - done, 0);
			if (count > 0)
				done += (xsUnsignedValue)count;
			else if (errno != EINTR)
				xsUnknownError("getrandom failed");
		}
	}
#endif
}

/* (into: 7 doubles): bytes of a slot; slots used, peak, limit; chunk bytes used, peak, limit. In every kind of build. */
void xs_coffer_system_memory(xsMachine *the)
{
	double counters[7];
	void *into;
	xsUnsignedValue length;
	counters[0] = sizeof(txSlot);
	counters[1] = (double)the->currentHeapCount;
	counters[2] = (double)the->peakHeapCount;
	counters[3] = (double)the->maximumHeapCount;
	counters[4] = (double)the->currentChunksSize;
	counters[5] = (double)the->peakChunksSize;
	counters[6] = (double)the->maximumChunksSize;
	xsmcGetBufferWritable(xsArg(0), &into, &length);
	if (length != sizeof(counters))
		xsRangeError("into: expected 56 bytes");
	memcpy(into, counters, sizeof(counters));
}

/* (into: 2 doubles): memory outside the heap of the machine, free now and at the worst moment. Linux has enough: zeros. */
void xs_coffer_system_freeMemory(xsMachine *the)
{
	double counters[2] = {0, 0};
	void *into;
	xsUnsignedValue length;
#ifdef ESP_PLATFORM
	counters[0] = (double)esp_get_free_heap_size();
	counters[1] = (double)esp_get_minimum_free_heap_size();
#endif
	xsmcGetBufferWritable(xsArg(0), &into, &length);
	if (length != sizeof(counters))
		xsRangeError("into: expected 16 bytes");
	memcpy(into, counters, sizeof(counters));
}

/* -> 0 unknown, 1 power on, 2 software, 3 exception, 4 watchdog, 5 brownout: the numbers of the status verb. To be asked once. */
void xs_coffer_system_resetReason(xsMachine *the)
{
	int reason = 1;
#ifdef ESP_PLATFORM
	uint32_t ending = gCofferEnding;
	gCofferEnding = 0;
	switch (esp_reset_reason()) {
		case ESP_RST_POWERON: case ESP_RST_EXT: reason = 1; break;
		case ESP_RST_DEEPSLEEP: reason = 2; break;
		case ESP_RST_SW: reason = (ending == COFFER_ENDING_MEANT) ? 2 : 3; break;
		case ESP_RST_PANIC: reason = (ending == COFFER_ENDING_WATCHDOG) ? 4 : 3; break;
		case ESP_RST_INT_WDT: case ESP_RST_TASK_WDT: case ESP_RST_WDT: reason = 4; break;
		case ESP_RST_BROWNOUT: reason = 5; break;
		default: reason = 0; break;
	}
#endif
	xsResult = xsInteger(reason);
}

void xs_coffer_system_restart(xsMachine *the)
{
	(void)the;
#ifdef ESP_PLATFORM
	gCofferEnding = COFFER_ENDING_MEANT;
	esp_restart();
#else
	exit(0);
#endif
}

/*
 * (milliseconds): unless it is called again within so many, the board is reset. A timer of ESP-IDF's own task, which has a
 * higher priority than the engine's and fires while that one is blocked; it panics, so that the console shows where the
 * engine was. The task watchdog of ESP-IDF would need other sdkconfig values; interrupts that stay off are not its matter
 * either. A host has nothing to reset: its process is somebody else's to watch.
 */
#ifdef ESP_PLATFORM
static esp_timer_handle_t gWatchdog;

static void bark(void *nothing)
{
	(void)nothing;
	gCofferEnding = COFFER_ENDING_WATCHDOG;
	esp_system_abort("coffer: the loop is blocked");
}
#endif

void xs_coffer_system_feedWatchdog(xsMachine *the)
{
	xsIntegerValue ms = xsmcToInteger(xsArg(0));
	if (ms <= 0)
		xsRangeError("milliseconds: expected 1 or more");
#ifdef ESP_PLATFORM
	if (!gWatchdog) {
		const esp_timer_create_args_t arguments = {.callback = bark, .dispatch_method = ESP_TIMER_TASK, .name = "coffer"};
		if (esp_timer_create(&arguments, &gWatchdog) != ESP_OK)
			xsUnknownError("the watchdog cannot be made");
	}
	(void)esp_timer_stop(gWatchdog); /* an error the first time: it does not run */
	if (esp_timer_start_once(gWatchdog, (uint64_t)ms * 1000) != ESP_OK)
		xsUnknownError("the watchdog cannot be started");
#endif
}
