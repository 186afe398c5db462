// SPDX-License-Identifier: MIT
/* See README.md. */
#pragma once
#include "esp_err.h"

typedef enum { WIFI_PS_NONE, WIFI_PS_MIN_MODEM } wifi_ps_type_t;

COFFER_MUST_USE esp_err_t esp_wifi_set_ps(wifi_ps_type_t type);
