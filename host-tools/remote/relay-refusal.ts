// SPDX-License-Identifier: MIT
/** What a relay does or says that ends a link, as refusals. TLS has its own in relay-tls. */

import { CloseReason } from "../../firmware/protocol/link-messages";
import { Refusal } from "../refusal";
import { formatRelay } from "./relay-tls";
import type { RelayAddress } from "./relay-tls";

const AGAIN = "Run the same command again; it continues where it stopped.";

/** No answer while connecting. */
export function noAnswer(relay: RelayAddress): Refusal {
  return new Refusal("relayUnreachable", `relay ${formatRelay(relay)} does not answer`, {
    hint: "Check that the relay runs, its address, and the network between.",
  });
}

/** A link that was good is not any more; `what` completes "relay HOST:PORT ...". */
export function lost(relay: RelayAddress, what: string): Refusal {
  return new Refusal("connectionLost", `relay ${formatRelay(relay)} ${what}`, { hint: AGAIN });
}

/** Bytes that no honest peer sends. */
export function violated(relay: RelayAddress, what: string, cause?: unknown): Refusal {
  const where = formatRelay(relay);
  return new Refusal("protocolViolation", `what comes through relay ${where} is not what was sent: ${what}`, {
    hint: "Nothing was believed. The relay or the device is broken, outdated or hostile: check both.",
    ...(cause === undefined ? {} : { cause }),
  });
}

export function otherVersion(relay: RelayAddress, version: number): Refusal {
  const where = formatRelay(relay);
  return new Refusal("protocolVersion", `relay ${where} speaks version ${String(version)} of the protocol`, {
    hint: "Update the older of the two, this program or the relay.",
  });
}

/** A `goAway` that ends the link at once. */
export function goAwayRefusal(relay: RelayAddress, reason: number): Refusal {
  const where = `relay ${formatRelay(relay)}`;
  switch (reason) {
    case CloseReason.authentication:
      return new Refusal("certificateRevoked", `${where} refuses this computer's certificate`, {
        hint: "It was revoked, has expired, or another authority signed it: see `coffer cert list` and the relay's log.",
      });
    case CloseReason.busy:
      return new Refusal("relayUnreachable", `${where} serves as many connections as it can`, {
        hint: "Try again later.",
      });
    case CloseReason.protocol:
      return new Refusal("protocolViolation", `${where} does not understand this program`, {
        hint: "Update the older of the two.",
      });
    default:
      return new Refusal("relayUnreachable", `${where} is going away`, {
        hint: "Try again when it is back.",
      });
  }
}
