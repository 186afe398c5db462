// SPDX-License-Identifier: MIT
/**
 * The side of an enrolment that is set up already: listens for the one computer that knows the code, once, for a while.
 * docs/security.md "A second computer".
 */

import { once } from "node:events";
import { type Server, type TLSSocket, createServer } from "node:tls";
import type { AddressInfo } from "node:net";
import { formatAddress } from "../certs/hosts";
import { Refusal } from "../refusal";
import type { RelayAddress } from "../state";
import type { Bundle } from "./bundle";
import { JoinChannel, joinHint, joinTls } from "./join-channel";

/** Somebody who guesses has 2^128 to guess from; a person who is wrong five times has another code in hand. */
const MAX_WRONG = 5;
/** Connections that are open at once: one is needed. */
const MAX_CONNECTIONS = 8;
const HANDSHAKE_MS = 15_000;
/** Making keys and typing nothing: the other computer answers within this. */
const SILENCE_MS = 60_000;

export interface OfferOptions {
  listen: RelayAddress;
  secret: Uint8Array;
  /** Fires when the code's time is over. */
  expired: AbortSignal;
  /** Fires when the person gives up. */
  signal: AbortSignal;
  /** Signs the new computer's public key (SPKI, PEM) and gives all that it needs. */
  enrol(publicKey: string): Promise<Bundle>;
  /** Takes back what `enrol` gave: the other computer never said that it has it. */
  withdraw(): Promise<void>;
  /** Somebody came with another secret. */
  onWrong(count: number): void;
}

export class Offer {
  readonly #server: Server;
  readonly #options: OfferOptions;
  readonly #done: Promise<void>;
  readonly #settle: (error?: Error) => void;
  /** What is listened on; stays known after the end. */
  port = 0;
  #wrong = 0;
  #isTaken = false;

  /** Refuses with `cannotListen`. */
  static async open(options: OfferOptions): Promise<Offer> {
    const offer = new Offer(options);
    const { host, port } = options.listen;
    offer.#server.listen(port, host);
    try {
      await once(offer.#server, "listening");
    } catch (error) {
      throw new Refusal("cannotListen", `cannot listen on ${formatAddress(options.listen)}`, {
        hint: "Choose another address and port with --listen.",
        cause: error,
      });
    }
    offer.port = (offer.#server.address() as AddressInfo).port;
    return offer;
  }

  private constructor(options: OfferOptions) {
    this.#options = options;
    let settle: (error?: Error) => void = () => undefined;
    this.#done = new Promise((resolve, reject) => {
      settle = (error): void => {
        if (error === undefined) resolve();
        else reject(error);
      };
    });
    this.#done.catch(() => undefined);
    this.#settle = settle;
    const tried = new WeakSet<object>();
    this.#server = createServer({
      ...joinTls,
      pskIdentityHint: joinHint,
      handshakeTimeout: HANDSHAKE_MS,
      pskCallback: (socket) => {
        tried.add(socket);
        return options.secret;
      },
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on("tlsClientError", (_error, socket) => {
      if (tried.has(socket)) this.#countWrong();
    });
    this.#server.on("secureConnection", (socket) => {
      socket.on("error", () => undefined);
      if (this.#isTaken) socket.destroy();
      else
        this.#serve(socket).then(
          () => {
            this.#settle();
          },
          (error: unknown) => {
            this.#settle(error as Error);
          },
        );
    });
  }

  /** Ends when the other computer has everything, or with the refusal why it never will. */
  async enrolled(): Promise<void> {
    const { expired, signal } = this.#options;
    const onExpired = (): void => {
      if (!this.#isTaken) this.#settle(ended("nobody came with the code in time"));
    };
    const onAbort = (): void => {
      this.#settle(signal.reason as Error);
    };
    expired.addEventListener("abort", onExpired);
    signal.addEventListener("abort", onAbort);
    if (expired.aborted) onExpired();
    if (signal.aborted) onAbort();
    try {
      await this.#done;
    } finally {
      expired.removeEventListener("abort", onExpired);
      signal.removeEventListener("abort", onAbort);
      this.#server.close();
    }
  }

  #countWrong(): void {
    this.#options.onWrong(++this.#wrong);
    if (this.#wrong >= MAX_WRONG && !this.#isTaken)
      this.#settle(ended(`somebody came ${String(MAX_WRONG)} times with another code`));
  }

  async #serve(socket: TLSSocket): Promise<void> {
    this.#isTaken = true;
    this.#server.close();
    const channel = new JoinChannel(socket, SILENCE_MS);
    const onAbort = (): void => {
      channel.destroy();
    };
    this.#options.signal.addEventListener("abort", onAbort);
    let isGiven = false;
    try {
      const { publicKey } = await channel.receive();
      if (typeof publicKey !== "string")
        throw new Refusal("protocolViolation", "the other computer sent no key");
      const bundle = await this.#options.enrol(publicKey);
      isGiven = true;
      await channel.send({ ...bundle });
      const { done } = await channel.receive();
      if (done !== true)
        throw new Refusal("protocolViolation", "the other computer did not say that it is set up");
      await channel.send({ done: true });
      channel.close();
    } catch (error) {
      channel.destroy();
      if (isGiven) await this.#options.withdraw();
      throw error;
    } finally {
      this.#options.signal.removeEventListener("abort", onAbort);
    }
  }
}

function ended(why: string): Refusal {
  return new Refusal("enrolmentFailed", `no computer was added: ${why}`, {
    hint: "Run `coffer client add` again; it shows another code.",
  });
}
