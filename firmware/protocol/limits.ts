// SPDX-License-Identifier: MIT
/** Every limit of the wire and the card in one place. SPEC.md "Limits" repeats them with the reasons. */

/** The version of link, session and verbs. Changes with any incompatible change of bytes on the wire. */
export const WIRE_VERSION = 1;
/** The version of what is on the card. */
export const CARD_VERSION = 1;

/** Frame payload: what every endpoint must take, and the most any may take: with its header it fills one TLS record. */
export const MIN_MAX_FRAME_BYTES = 4096;
export const MAX_FRAME_BYTES = 16384 - 6;

/** Credit outstanding on one channel in one direction, bytes including frame headers: the relay's buffer bound. */
export const MAX_WINDOW_BYTES = 2 * 1024 * 1024;
/** Channels on one connection. */
export const MAX_CHANNELS = 256;
export const MAX_REQUESTS = 16;

/** Certificate names: 1..32 characters of [a-z0-9-]. */
export const MAX_NAME_BYTES = 32;
/** Human-readable text in messages (error texts, software versions), bytes of UTF-8. */
export const MAX_TEXT_BYTES = 200;

export const HASH_BYTES = 32;
export const NONCE_BYTES = 32;
export const SECRET_BYTES = 32;
export const PAIRING_ID_BYTES = 8;
/** What an endpoint shows to become one end of a line. */
export const TICKET_BYTES = 32;
export const LINE_KEY_BYTES = 32;
export const TAG_BYTES = 16;
export const MAX_PAIRINGS = 16;

/** FatFs keeps 32-bit signed offsets: a blob and its header stay below 2 GiB. */
export const MAX_BLOB_BYTES = 2 ** 31 - 65536;
/** Entry of a log: with its request it fits one frame of MIN_MAX_FRAME_BYTES. */
export const MAX_ENTRY_BYTES = 3072;
/** Where a log may begin anew, so that its count stays far below what a u53 holds. */
export const MAX_SKIP_SEQUENCE = 2 ** 52;
/** Ids in one has or delete request: 100 * 32 bytes fit a frame of MIN_MAX_FRAME_BYTES. */
export const MAX_IDS = 100;
/** Blobs in one page of a listing: 90 * 40 bytes fit. */
export const MAX_LISTED_BLOBS = 90;
/** Logs in one page of a listing. */
export const MAX_LISTED_LOGS = 50;
/** Logs on one card: a table in RAM holds their heads (80 bytes each on a board). */
export const MAX_LOGS = 64;
/** Uploads a card remembers for resuming. */
export const MAX_UPLOADS = 16;
/** A line of a device's own log, bytes of UTF-8. */
export const MAX_LINE_BYTES = 160;
/** Lines in one page of a device's own log: with 25 bytes each they fit a frame of MIN_MAX_FRAME_BYTES. */
export const MAX_LISTED_LINES = 16;
/** Kinds of what keeps a device from its relay. */
export const MAX_TROUBLES = 16;
/** Devices in one page of the relay's listing. */
export const MAX_LISTED_DEVICES = 64;

/** Control frames a session may carry in one direction: far below what AES-GCM allows for one key. */
export const MAX_CONTROL_FRAMES = 2 ** 31;
