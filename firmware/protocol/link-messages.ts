// SPDX-License-Identifier: MIT
/** Payloads of the link frames, all but `data`, whose payload the relay does not read. SPEC.md "Link". */
import { fixed, list, record, text, u16, u32, u53, u8 } from "./message";
import { MAX_LISTED_DEVICES, MAX_NAME_BYTES, MAX_TEXT_BYTES, TICKET_BYTES } from "./limits";

/** First frame of every endpoint. Role and name are those of its certificate. */
export interface Hello {
  minVersion: number;
  maxVersion: number;
  /** Largest payload the sender takes, MIN_MAX_FRAME_BYTES..MAX_FRAME_BYTES. */
  maxFrameBytes: number;
  /** Channels at once; what a client says is its own limit, what a device says is the relay's. */
  maxChannels: number;
  software: string;
}
export const hello = record<Hello>({
  minVersion: u8,
  maxVersion: u8,
  maxFrameBytes: u16,
  maxChannels: u16,
  software: text(MAX_TEXT_BYTES),
});

/** The relay's answer to `hello`. */
export interface Welcome {
  version: number;
  maxFrameBytes: number;
  /** A side that has heard nothing for this long sends a ping; nothing for 2.5 times as long means a dead link. */
  heartbeatSeconds: number;
  /** The relay's Unix time, milliseconds: a hint, never a proof. */
  unixMs: number;
  relay: string;
}
export const welcome = record<Welcome>({
  version: u8,
  maxFrameBytes: u16,
  heartbeatSeconds: u16,
  unixMs: u53,
  relay: text(MAX_NAME_BYTES),
});

/** Ping and pong: the pong repeats the ping's bytes. */
export const heartbeat = record<{ token: Uint8Array }>({ token: fixed(8) });

/** The relay stops; reconnect after `retryMs`. */
export interface GoAway {
  reason: number;
  retryMs: number;
}
export const goAway = record<GoAway>({ reason: u16, retryMs: u32 });

/** Client: which devices are connected, from the name after `after` ("" = from the start), in byte order. */
export const listDevices = record<{ after: string }>({ after: text(MAX_NAME_BYTES) });

export interface ListedDevice {
  name: string;
  /** Unix seconds since when it has been connected. */
  since: number;
  software: string;
}
/** `more` is 1 when another page follows the last name. */
export const devices = record<{ more: number; devices: ListedDevice[] }>({
  more: u8,
  devices: list(
    record<ListedDevice>({ name: text(MAX_NAME_BYTES), since: u53, software: text(MAX_TEXT_BYTES) }),
    MAX_LISTED_DEVICES,
  ),
});

/** Client: wants a line to the device `peer`. SPEC.md "Lines". */
export const askLine = record<{ peer: string }>({ peer: text(MAX_NAME_BYTES) });

/** The relay's answer: the two tickets when `reason` is `done`, else 32 zero bytes each. */
export interface LineAnswer {
  /** One of CloseReason. */
  reason: number;
  clientTicket: Uint8Array;
  /** For the client to pass on. */
  deviceTicket: Uint8Array;
}
export const line = record<LineAnswer>({
  reason: u16,
  clientTicket: fixed(TICKET_BYTES),
  deviceTicket: fixed(TICKET_BYTES),
});

/** The identity under which both ends of a line have its key, and the one cipher suite they use. */
export const LINE_IDENTITY = "coffer line 1";
export const LINE_CIPHER = "TLS_AES_128_GCM_SHA256";

/** The first and only frame on a connection that becomes one end of a line; in plain text. */
export const join = record<{ ticket: Uint8Array }>({ ticket: fixed(TICKET_BYTES) });

/**
 * Client to relay: a channel to the device `peer`; relay to device: a channel from the client `peer` (the name in its
 * certificate). The opener says what it takes.
 */
export interface Open {
  peer: string;
  /** Credit for the other side, bytes of frames including headers. */
  creditBytes: number;
  maxFrameBytes: number;
}
export const open = record<Open>({ peer: text(MAX_NAME_BYTES), creditBytes: u32, maxFrameBytes: u16 });

export interface Accept {
  creditBytes: number;
  maxFrameBytes: number;
}
export const accept = record<Accept>({ creditBytes: u32, maxFrameBytes: u16 });

/** Ends a channel; also refuses an `open`. After sending it a side sends nothing more on the channel. */
export const close = record<{ reason: number }>({ reason: u16 });

/** `bytes` more may be sent. */
export const credit = record<{ bytes: number }>({ bytes: u32 });

export const CloseReason = {
  done: 0,
  unknownDevice: 1,
  deviceOffline: 2,
  busy: 3,
  protocol: 4,
  goingAway: 5,
  peerLost: 6,
  authentication: 7,
  creditExceeded: 8,
  timeout: 9,
  /** The same name connected again; the newer connection stays. */
  replaced: 10,
  /** The device is sealed and has not been unlocked. */
  locked: 11,
} as const;
