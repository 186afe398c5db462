// SPDX-License-Identifier: MIT
/* The one setting of Wi-Fi that the SDK does not reach. */
#include "xsmc.h"
#include "mc.xs.h"

#include "esp_err.h"
#include "esp_wifi.h"

/* (isSaving) -> whether it took it; not before Wi-Fi was started */
void xs_coffer_radio_setPowerSave(xsMachine *the)
{
	wifi_ps_type_t mode = xsmcToBoolean(xsArg(0)) ? WIFI_PS_MIN_MODEM : WIFI_PS_NONE;
	xsmcSetBoolean(xsResult, esp_wifi_set_ps(mode) == ESP_OK);
}
