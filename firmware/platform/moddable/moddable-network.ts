// SPDX-License-Identifier: MIT
/**
 * The network port over the SDK's TLS 1.2: its handshake, our records. Who the relay is, is decided by `tls-guard` and
 * `relay-certificate`; the SDK's own checks come second. Whatever goes wrong is a ConnectionError given to `onError`, once.
 *
 * RAM: what the handshake needs, and when it is over that of `tls-records`.
 */
import sessionCache from "ssl/cache";
import TlsSession, { type SessionCipher } from "ssl/session";
import {
  type Clock,
  ConnectionError,
  type ConnectionErrorCode,
  type Network,
  type SecureSocket,
  type SecureSocketOptions,
  type Timers,
} from "../../core/io";
import { GuardedTcp, type TcpClass } from "./guarded-tcp";
import { isNumericAddress } from "./plain-names";
import { judgeRelayChain } from "./relay-certificate";
import { TlsGuard, TlsRefusal } from "./tls-guard";
import { type DirectionKeys, RECORD_OVERHEAD_BYTES, TlsRecords } from "./tls-records";

/** DER. */
export interface DeviceIdentity {
  /** Whom this device trusts: the authority of relays. */
  relayAuthority: ArrayBuffer;
  /** The device's certificate. */
  certificate: ArrayBuffer;
  /** PKCS#8, RSA. */
  key: ArrayBuffer;
}

export interface ModdableNetworkOptions {
  tcp: TcpClass;
  identity: DeviceIdentity;
  clock: Clock;
  timers: Timers;
  /** Finds the IPv4 address of a name and calls back once, with undefined when there is none. Absent: addresses only. */
  resolve?(host: string, done: (address: string | undefined) => void): void;
  /** 2048 or 4096: asked of the relay for both directions; absent: TLS's own 16384. */
  maxFragmentBytes?: number;
}

/** For a name server that never answers. */
const RESOLVE_MS = 15_000;
const TLS_FRAGMENT_BYTES = 16384;
const TLS_1_2 = 0x0303;
/** Of the SDK's `handshakeProcess`: it waits for the relay. */
const WAITING = -1;

/** The session that can be resumed: the SDK keeps one for all of its connections, and not with whom it was made. */
interface KnownSession {
  host: string;
  relayName: string | undefined;
  id: Uint8Array;
  untilMs: number;
}

export class ModdableNetwork implements Network {
  readonly #options: ModdableNetworkOptions;
  #known: KnownSession | undefined;

  constructor(options: ModdableNetworkOptions) {
    this.#options = options;
  }

  connect(options: SecureSocketOptions): SecureSocket {
    const known = this.#known;
    const isUsable =
      known?.host === options.host &&
      known.relayName === options.relayName &&
      (this.#options.clock.unixMs() ?? Infinity) < known.untilMs;
    if (!isUsable) this.#forget();
    return new ModdableSecureSocket(this.#options, options, {
      isKnown: (id) => this.#known !== undefined && this.#known.id.join() === id.join(),
      keep: (session) => {
        this.#known = session;
      },
      forget: () => {
        this.#forget();
      },
    });
  }

  #forget(): void {
    this.#known = undefined;
    sessionCache.deleteSessionID();
  }
}

interface Sessions {
  isKnown(id: Uint8Array): boolean;
  keep(session: KnownSession): void;
  forget(): void;
}

class ModdableSecureSocket implements SecureSocket {
  readonly #options: SecureSocketOptions;
  readonly #timers: Timers;
  readonly #sessions: Sessions;
  readonly #fragmentBytes: number;
  readonly #guard: TlsGuard;
  #tcp: GuardedTcp | undefined;
  /** While the handshake lasts. */
  #session: TlsSession | undefined;
  /** From then on. */
  #records: TlsRecords | undefined;
  #isClosed = false;
  #hasFailed = false;
  #isDelivering = false;
  /** Our hello was sent. */
  #hasStarted = false;
  /** Until when the relay's certificate is good, once it was seen. */
  #untilMs = 0;

  constructor(own: ModdableNetworkOptions, options: SecureSocketOptions, sessions: Sessions) {
    const { identity, clock, maxFragmentBytes } = own;
    const { host, relayName } = options;
    const name = relayName === undefined ? {} : { relayName };
    this.#options = options;
    this.#timers = own.timers;
    this.#sessions = sessions;
    this.#fragmentBytes = maxFragmentBytes ?? TLS_FRAGMENT_BYTES;
    this.#guard = new TlsGuard({
      judgeChain: (chain) => {
        const authority = new Uint8Array(identity.relayAuthority);
        this.#untilMs = judgeRelayChain(chain, { authority, host, ...name, unixMs: clock.unixMs() ?? 0 });
      },
      isKnownSession: sessions.isKnown,
    });
    const address = host === "localhost" ? "127.0.0.1" : host;
    if (isNumericAddress(address)) this.#open(address, own);
    else if (own.resolve) this.#find(host, own);
    else {
      this.#fail(
        new TlsRefusal("unreachable", `${host}: names are not resolved here, give a numeric address`),
      );
    }
  }

  #find(host: string, own: ModdableNetworkOptions): void {
    let isOver = false;
    const end = (address: string | undefined): void => {
      if (isOver) return;
      isOver = true;
      this.#timers.clear(patience);
      if (this.#hasFailed) return;
      if (address !== undefined && isNumericAddress(address)) this.#open(address, own);
      else this.#fail(new TlsRefusal("unreachable", `${host}: no address is found for this name`));
    };
    const patience = this.#timers.set(RESOLVE_MS, () => {
      end(undefined);
    });
    try {
      own.resolve?.(host, end);
    } catch {
      end(undefined);
    }
  }

  #open(address: string, { identity, tcp, maxFragmentBytes }: ModdableNetworkOptions): void {
    const { host, port, relayName } = this.#options;
    try {
      this.#session = new TlsSession({
        serverName: host,
        protocolVersion: TLS_1_2,
        certificate: identity.relayAuthority,
        clientCertificates: [identity.certificate],
        clientKey: identity.key,
        // The SDK can only compare with a host. What it would check beside that, the guard has.
        verify: relayName === undefined,
        ...(maxFragmentBytes === undefined ? {} : { tls_max_fragment_length: maxFragmentBytes }),
      });
      this.#session.initiateHandshake();
      this.#tcp = new GuardedTcp({
        address,
        port,
        tcp,
        guard: this.#guard,
        onReadable: () => {
          if (!this.#records) this.#shakeHands();
          this.#deliver();
        },
        onWritable: () => {
          if (this.#session && !this.#hasStarted) this.#shakeHands();
          else this.#tellRoom();
        },
        onError: () => {
          this.#fail(undefined);
        },
        onFailure: (error) => {
          this.#fail(error);
        },
      });
    } catch (error) {
      this.#fail(error);
    }
  }

  get writableBytes(): number {
    if (!this.#records) return 0;
    const room = this.#tcp?.roomBytes ?? 0;
    const records = Math.ceil(room / (this.#fragmentBytes + RECORD_OVERHEAD_BYTES));
    return Math.max(0, room - records * RECORD_OVERHEAD_BYTES);
  }

  read(into: Uint8Array): number {
    const records = this.#records;
    if (!records || into.length === 0) return 0;
    try {
      const count = records.read(into);
      if (records.isClosed) this.#fail(undefined);
      else if (!this.#isDelivering && this.#hasMore) this.#deliverLater();
      return count;
    } catch (error) {
      this.#fail(error);
      return 0;
    }
  }

  write(bytes: Uint8Array): void {
    if (bytes.length > this.writableBytes) {
      throw new RangeError(`write: expected at most ${this.writableBytes} bytes, got ${bytes.length}`);
    }
    try {
      this.#records?.write(bytes);
    } catch (error) {
      this.#fail(error);
    }
  }

  close(): void {
    this.#hasFailed = true;
    this.#end();
  }

  /** Each turn sends what is due, or takes one record of the relay's; behind the last one nothing more is taken. */
  #shakeHands(): void {
    const session = this.#session;
    const tcp = this.#tcp;
    if (!session || !tcp) return;
    this.#hasStarted = true;
    do {
      if (session.handshake(tcp)) {
        this.#begin(session, tcp);
        return;
      }
    } while (tcp.readable > 0 || session.handshakeProcess !== WAITING);
  }

  #begin(session: TlsSession, tcp: GuardedTcp): void {
    const { serverCipher, clientCipher, readSeqNum, writeSeqNum } = session;
    if (!this.#guard.isOpen || !serverCipher || !clientCipher)
      throw new TlsRefusal("rejected", "the relay ended the handshake");
    this.#session = undefined;
    this.#records = new TlsRecords({
      tcp,
      incoming: keysOf(serverCipher, readSeqNum),
      outgoing: keysOf(clientCipher, writeSeqNum),
      maxFragmentBytes: this.#fragmentBytes,
    });
    const { sessionId, isResumed } = this.#guard;
    if (!isResumed && sessionId.length > 0) {
      const { host, relayName } = this.#options;
      this.#sessions.keep({ host, relayName, id: sessionId, untilMs: this.#untilMs });
    }
    this.#tellRoom();
  }

  #tellRoom(): void {
    const room = this.writableBytes;
    if (room > 0) this.#options.onWritable(room);
  }

  /** Until nothing is left, or the owner leaves something. */
  #deliver(): void {
    this.#isDelivering = true;
    try {
      for (let count = this.#receive(); count > 0; count = this.#receive()) {
        this.#options.onReadable(count);
        if (this.#records?.unreadBytes !== 0) break;
      }
    } finally {
      this.#isDelivering = false;
    }
  }

  /** TCP does not tell of it again. */
  get #hasMore(): boolean {
    return this.#records?.unreadBytes === 0 && (this.#tcp?.readable ?? 0) > 0;
  }

  #deliverLater(): void {
    this.#timers.set(0, () => {
      try {
        this.#deliver();
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  /** Bytes that can be read. The relay's farewell is a failure. */
  #receive(): number {
    const count = this.#records?.receive() ?? 0;
    if (this.#records?.isClosed) this.#fail(undefined);
    return count;
  }

  /** From a callback of TCP, or from a call of the owner's: it hears of it later in any case. */
  #fail(cause: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    const error = this.#errorOf(cause);
    if (!this.#guard.isOpen) this.#sessions.forget();
    this.#end();
    this.#timers.set(0, () => {
      this.#options.onError(error);
    });
  }

  #errorOf(cause: unknown): ConnectionError {
    const because = cause === undefined ? {} : { cause };
    const make = (code: ConnectionErrorCode, message: string): ConnectionError =>
      new ConnectionError(code, message, because);
    const { host, port } = this.#options;
    if (cause instanceof TlsRefusal) return make(cause.code, cause.message);
    if (cause !== undefined) {
      const text = String(cause);
      const isDate = text.includes("date validation failed");
      const message = isDate
        ? "the relay authority's certificate is not valid at this time; is the clock right?"
        : `TLS: ${text}`;
      return make(this.#guard.isOpen ? "lost" : "certificate", message);
    }
    if (!this.#tcp?.isConnected) return make("unreachable", `${host}:${port} does not answer`);
    if (!this.#guard.isOpen) return make("rejected", "the relay ended the handshake");
    return this.#records?.isClosed
      ? make("closed", "the relay closed the connection")
      : make("lost", "the connection broke");
  }

  #end(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#session = undefined;
    this.#records = undefined;
    try {
      this.#tcp?.close();
    } catch {
      // Closed already by its own failure.
    }
  }
}

function keysOf({ key, iv }: SessionCipher, number: bigint): DirectionKeys {
  return { key, salt: iv, number: Number(number) };
}
