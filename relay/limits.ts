// SPDX-License-Identifier: MIT
/** What the relay bounds, and why. The limits that endpoints have to know are in firmware/protocol/limits. */
import { totalmem } from "node:os";

/** A handshake that takes longer holds a socket and a key operation for nothing; a board needs 3 s at worst. */
export const HANDSHAKE_TIMEOUT_MS = 15_000;
/** Authenticated but silent: a broken endpoint, or one that only wants to occupy a place. */
export const HELLO_TIMEOUT_MS = 10_000;
/** A device that is alive but does not answer an `open` must not leave the client waiting. */
export const OPEN_TIMEOUT_MS = 15_000;
/** Channels that are still busy when the relay stops get this long. */
export const DRAIN_MS = 5_000;
/** How long a connection that was told why it ends may take to read it. */
export const GOODBYE_MS = 2_000;

/** About 60 KiB each with TLS: 500 MiB at most for connections that do nothing. */
export const MAX_CONNECTIONS = 8192;
/** Handshakes under way: strangers can start them, and each costs the relay an RSA signature. */
export const MAX_HANDSHAKES = 512;
/** Sessions that TLS 1.2 clients without tickets (the boards) may resume: about 2 KiB each. */
export const MAX_SESSIONS = 4096;
export const SESSION_SECONDS = 86_400;

/**
 * Frames that make the relay work or answer (ping, pong, open, listDevices): a burst covers a client that opens all
 * its channels at once, the rate what any honest endpoint does afterwards. Above it the link is closed.
 */
export const REQUEST_BURST = 512;
export const REQUESTS_PER_SECOND = 64;

/** Everything but data that waits for one connection; above it the endpoint is not reading, and is closed. */
export const MAX_CONTROL_BYTES = 256 * 1024;
/**
 * The window of a channel shrinks as the number of channels on the receiving connection grows, n-th channel:
 * LINK_WINDOW_BYTES / n, at least MIN_WINDOW_BYTES. All windows of 256 channels together: about 70 MiB.
 */
export const LINK_WINDOW_BYTES = 16 * 1024 * 1024;
export const MIN_WINDOW_BYTES = 64 * 1024;
/** Data of closed channels can still wait beside those windows; above this the channel that adds more is closed. */
export const MAX_LINK_QUEUE_BYTES = 96 * 1024 * 1024;
/** All connections together. Above it, channels to connections that are already behind are closed. */
export const MAX_QUEUE_BYTES = Math.min(1024 * 1024 * 1024, Math.floor(totalmem() / 4));
/** What counts as behind: more than a batch that is about to be sent. */
export const BEHIND_BYTES = 128 * 1024;
/** Charged for queued bytes of each channel in turn beside the bytes: what the bookkeeping costs in memory. */
export const SEGMENT_BYTES = 64;

/** An end of a line that has not come by then does not come. */
export const JOIN_TIMEOUT_MS = 15_000;
export const MAX_LINES = 512;
/** A device has at most so many clients with a line, as with a channel. */
export const MAX_LINES_PER_LINK = 64;
/** What one end of a line has not taken before the other is not read any more: 200 MiB for all lines in both directions. */
export const LINE_QUEUE_BYTES = 128 * 1024;

/** Ids of closed channels that a link remembers: frames that crossed a `close` are not a violation. */
export const MAX_REMEMBERED_IDS = 512;

/** Refusals written to the log in one second; the rest is counted. Strangers must not fill the disk. */
export const LOGGED_REFUSALS_PER_SECOND = 20;

/** Answers to discovery requests, all senders together. */
export const ANSWERS_BURST = 40;
export const ANSWERS_PER_SECOND = 20;
