// SPDX-License-Identifier: MIT
/**
 * The connection between the two computers of an enrolment: TLS with the code's secret as pre-shared key and an
 * ephemeral Diffie-Hellman exchange (RFC 5489, RFC 7905), so that both ends have proved to know the secret before either
 * sends anything, who records it learns nothing from the secret later, and nobody in between can take part. No
 * certificate, no cryptography of our own. Messages are JSON, one a line.
 */

import type { TLSSocket } from "node:tls";
import { Refusal } from "../refusal";

/** TLS 1.2, since Node offers pre-shared keys there only; one cipher suite, so there is nothing to negotiate down. */
export const joinTls = {
  ciphers: "ECDHE-PSK-CHACHA20-POLY1305",
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.2",
} as const;
/** Sent in the clear by the listening side: tells a Coffer that waits for a computer from any other server. */
export const joinHint = "coffer join 1";
export const joinVersion = 1;
/** The largest message is the list of devices, some 300 bytes each, beside certificates and key slots. */
const MAX_MESSAGE_BYTES = 1024 * 1024;

export class JoinChannel {
  readonly #socket: TLSSocket;
  readonly #timeoutMs: number;
  readonly #lines: AsyncIterator<string>;

  /** `timeoutMs`: how long the other side may be silent. */
  constructor(socket: TLSSocket, timeoutMs: number) {
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error("it fell silent")));
    this.#lines = linesOf(socket);
  }

  async send(message: Record<string, unknown>): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#socket.write(`${JSON.stringify({ version: joinVersion, ...message })}\n`, (error) => {
        if (error) reject(broken(error));
        else resolve();
      });
    });
  }

  /** The next message. Refuses one of another version. */
  async receive(): Promise<Record<string, unknown>> {
    let line: string;
    try {
      const next = await this.#lines.next();
      if (next.done === true) throw new Error("it ended the connection");
      line = next.value;
    } catch (error) {
      throw error instanceof Refusal ? error : broken(error);
    }
    const message = parse(line);
    if (message["version"] !== joinVersion)
      throw new Refusal("protocolVersion", "the other computer runs another version of Coffer", {
        hint: "Update Coffer on both computers.",
      });
    return message;
  }

  close(): void {
    this.#socket.setTimeout(this.#timeoutMs);
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

function parse(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {
    // told below
  }
  throw new Refusal("protocolViolation", "the other computer sent what no Coffer sends");
}

async function* linesOf(socket: TLSSocket): AsyncGenerator<string, undefined> {
  let text = "";
  socket.setEncoding("utf8");
  for await (const part of socket as AsyncIterable<string>) {
    text += part;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
    if (text.length > MAX_MESSAGE_BYTES)
      throw new Refusal("protocolViolation", "the other computer sent more than any Coffer sends");
  }
  return undefined;
}

function broken(cause: unknown): Refusal {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new Refusal("connectionLost", `the connection to the other computer broke: ${why}`, {
    hint: "Begin again with `coffer client add`; this code is used up.",
    cause,
  });
}
