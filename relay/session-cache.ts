// SPDX-License-Identifier: MIT
/**
 * Sessions of TLS 1.2 clients without ticket support (Moddable's), so that a board that comes back need not do RSA
 * again. The most recently used are kept. OpenSSL itself checks their age.
 */
import type { Server } from "node:tls";
import { MAX_SESSIONS } from "./limits";

/** In the DER of an OpenSSL SSL_SESSION: the protocol version, 2 bytes, after the structure's own. */
const TLS_1_3 = Buffer.of(2, 1, 1, 2, 2, 3, 4);

export class SessionCache {
  readonly #sessions = new Map<string, Buffer>();

  get size(): number {
    return this.#sessions.size;
  }

  attach(server: Server): void {
    server.on("newSession", (id: Buffer, session: Buffer, done: () => void) => {
      // TLS 1.3 always uses tickets; what OpenSSL reports of it here is never asked for.
      if (!session.subarray(0, 16).includes(TLS_1_3)) this.#keep(id.toString("hex"), session);
      done();
    });
    server.on("resumeSession", (id: Buffer, done: (error: Error | null, session: Buffer | null) => void) => {
      const key = id.toString("hex");
      const session = this.#sessions.get(key);
      if (session) this.#keep(key, session);
      done(null, session ?? null);
    });
  }

  clear(): void {
    this.#sessions.clear();
  }

  #keep(key: string, session: Buffer): void {
    this.#sessions.delete(key);
    this.#sessions.set(key, session);
    if (this.#sessions.size <= MAX_SESSIONS) return;
    for (const oldest of this.#sessions.keys()) {
      this.#sessions.delete(oldest);
      break;
    }
  }
}
