// SPDX-License-Identifier: MIT
/** What a client's traffic amounted to: for tests, benches and reports. */

export interface TrafficStats {
  /** TLS connections made. */
  connections: number;
  /** Requests sent, repeated ones included. */
  requests: number;
  /** Requests that were repeated because a link, channel or device was lost. */
  repeats: number;
  /**
   * Messages that the client had to wait for: a welcome, an accept, a handshake, an answer, a "ready" of an upload.
   * Those that were under way together are counted one by one.
   */
  roundTrips: number;
  /** Bytes of frames inside TLS. */
  bytesSent: number;
  bytesReceived: number;
}

export function newTrafficStats(): TrafficStats {
  return { connections: 0, requests: 0, repeats: 0, roundTrips: 0, bytesSent: 0, bytesReceived: 0 };
}
