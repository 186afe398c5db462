// SPDX-License-Identifier: MIT
/** What can keep a device from its relay. */
export const Trouble = {
  /** No connection to its Wi-Fi, or no address there. */
  wifi: 1,
  /** It knows of no Wi-Fi. */
  wifiUnknown: 2,
  /** The clock is not set. */
  clock: 3,
  /** It has no address of a relay, and found none. */
  relayNotFound: 4,
  /** The relay does not answer. */
  unreachable: 5,
  /** It refuses the relay's certificate. */
  certificate: 6,
  /** The relay refuses its certificate. */
  rejected: 7,
  /** Its image holds no identity, or none that makes sense. */
  image: 8,
} as const;

/** One kind of trouble that a device had before it was reached. */
export interface TroubleEntry {
  /** One of Trouble. */
  code: number;
  /** In a start before this one, since a client last asked. */
  wasEarlier: boolean;
  /** In this start, 65535 at most. */
  count: number;
  /** Uptime of the last in this start. */
  lastSeconds: number;
}
