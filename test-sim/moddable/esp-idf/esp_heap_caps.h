// SPDX-License-Identifier: MIT
/* See README.md. */
#pragma once
#include "esp_err.h"
#include <stddef.h>
#include <stdint.h>

enum { MALLOC_CAP_DMA = 1 << 3, MALLOC_CAP_SPIRAM = 1 << 10, MALLOC_CAP_INTERNAL = 1 << 11 };

COFFER_MUST_USE void *heap_caps_malloc(size_t size, uint32_t caps);
COFFER_MUST_USE void *heap_caps_calloc(size_t n, size_t size, uint32_t caps);
COFFER_MUST_USE void *heap_caps_aligned_alloc(size_t alignment, size_t size, uint32_t caps);
size_t heap_caps_get_total_size(uint32_t caps);
void heap_caps_free(void *ptr);
