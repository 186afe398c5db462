// SPDX-License-Identifier: MIT
/** What kept a device from its relay, in words: what it was, and what to look at when it comes again. */

import { Trouble, type TroubleEntry } from "../firmware/protocol/trouble";
import { formatUptime } from "./render";
import { plural } from "./transfer-progress";

/** For `--json`. */
export interface TroubleRecord extends Omit<TroubleEntry, "code"> {
  trouble: keyof typeof Trouble | "unknown";
}

export function troubleRecord({ code, ...rest }: TroubleEntry): TroubleRecord {
  const names = Object.keys(Trouble) as (keyof typeof Trouble)[];
  return { trouble: names.find((name) => Trouble[name] === code) ?? "unknown", ...rest };
}

/** One line: "... (3 times, the last 5 min ago). ..." */
export function troubleText(
  { trouble, wasEarlier, count, lastSeconds }: TroubleRecord,
  device: string,
  uptimeSeconds: number,
): string {
  const times: string[] = [];
  if (count > 0)
    times.push(
      `${plural(count, "time")} in this start, the last ${formatUptime(Math.max(0, uptimeSeconds - lastSeconds))} ago`,
    );
  if (wasEarlier) times.push("in a start before this one");
  const [what, remedy] = TEXTS[trouble];
  return `${device} was kept from the relay: ${what} (${times.join("; ")}). ${remedy.replace("NAME", device)}`;
}

const TEXTS: Record<TroubleRecord["trouble"], readonly [what: string, remedy: string]> = {
  wifi: [
    "it had no connection to its Wi-Fi, or no address there",
    "If it comes again: are name and password right, is it 2.4 GHz, is it near enough?",
  ],
  wifiUnknown: ["its image knew of no Wi-Fi", "Build it with `mcconfig ... ssid=NAME password=SECRET`."],
  clock: [
    "its clock was not set, so that it could judge no certificate",
    "If it comes again: it needs a time server, by UDP 123 or by `sntp=` of its build.",
  ],
  relayNotFound: [
    "it found no relay in its network",
    "If it comes again: a relay in the same network has to announce itself, and UDP 17433 or mDNS has to pass.",
  ],
  unreachable: [
    "the relay did not answer",
    "If it comes again: does the relay run, and is it reached from the device's network?",
  ],
  certificate: [
    "it refused the relay's certificate, which was not of its authority, not for its address or not valid then",
    "`coffer cert list` shows the relay's; a device of another owner has to be built anew.",
  ],
  rejected: [
    "the relay refused its certificate as expired, revoked or of another owner",
    "`coffer device list` shows it; after `coffer cert renew device NAME` its firmware has to be built anew.",
  ],
  image: ["its image held no identity", "It was built without the files of `coffer device add NAME`."],
  unknown: ["it says why, but this coffer is too old to know it", "Update this computer's coffer."],
};
