// SPDX-License-Identifier: MIT
/* See README.md. */
#pragma once
#include <stddef.h>

void esp_fill_random(void *buf, size_t len);
