// SPDX-License-Identifier: MIT
/* See README.md. */
#pragma once

#define RTC_NOINIT_ATTR
