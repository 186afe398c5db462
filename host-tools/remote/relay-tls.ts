// SPDX-License-Identifier: MIT
/**
 * The TLS below a connection to the relay: mutual, TLS 1.2 or 1.3, trusting the relay authority and nothing else. The
 * relay's certificate has to carry exactly one `coffer:` name, with the role of a relay, and to be good for the
 * configured host. What goes wrong is turned into a refusal that says who refused whom.
 */

import { X509Certificate, createHash } from "node:crypto";
import { type OnReadOpts, isIP } from "node:net";
import tls from "node:tls";
import { identityFromAltName } from "../certs/roles";
import { Refusal } from "../refusal";

export interface RelayAddress {
  host: string;
  port: number;
}

/** All PEM; the state's `Identity` is one. */
export interface ClientIdentity {
  key: string;
  /** Leaf, then its authority. */
  chain: string;
  /** The relay authority. */
  ca: string;
  /** What the relay authority has revoked. */
  crl?: string | undefined;
}

export interface ResumableSession {
  session: Buffer;
  /** From the certificate of the full handshake: Node does not keep it for a resumed one. */
  relayName: string;
}

/** TLS sessions to resume, by relay and identity. Share one among connections; holds at most 32. */
export class TlsSessionCache {
  readonly #sessions = new Map<string, ResumableSession>();

  get(key: string): ResumableSession | undefined {
    return this.#sessions.get(key);
  }

  set(key: string, resumable: ResumableSession): void {
    this.#sessions.delete(key);
    this.#sessions.set(key, resumable);
    const oldest = this.#sessions.keys().next();
    if (this.#sessions.size > 32 && !oldest.done) this.#sessions.delete(oldest.value);
  }

  delete(key: string): void {
    this.#sessions.delete(key);
  }
}

/**
 * A key under which a session may be resumed: a resumed session is not verified again, so anything that the verdict
 * depended on is part of it.
 */
export function sessionKey(relay: RelayAddress, identity: ClientIdentity): string {
  const hash = createHash("sha256");
  for (const part of [relay.host, String(relay.port), identity.chain, identity.ca, identity.crl ?? ""]) {
    hash.update(`${String(part.length)}:`).update(part);
  }
  return hash.digest("hex");
}

export function formatRelay({ host, port }: RelayAddress): string {
  return host.includes(":") ? `[${host}]:${String(port)}` : `${host}:${String(port)}`;
}

/** Refuses an identity that cannot be a client's, before it is shown to anybody. */
export function requireClientIdentity(identity: ClientIdentity, now = new Date()): void {
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(identity.chain);
  } catch (error) {
    throw new Refusal("damagedState", "this computer's certificate cannot be read", {
      hint: "Make a new one with `coffer cert client NAME`.",
      cause: error,
    });
  }
  const peer = identityFromAltName(leaf.subjectAltName);
  if (peer?.role !== "client") {
    const role = peer === undefined ? "no role" : `the role ${peer.role}`;
    throw new Refusal("wrongRole", `this computer's certificate has ${role}, and a client's is needed`, {
      hint: "Make one with `coffer cert client NAME`.",
    });
  }
  if (now > new Date(leaf.validTo)) {
    throw new Refusal(
      "certificateExpired",
      `the certificate of client ${peer.name} expired on ${leaf.validTo}`,
      {
        hint: `Run \`coffer cert renew client ${peer.name}\`.`,
      },
    );
  }
}

export interface RelayTlsOptions {
  relay: RelayAddress;
  identity: ClientIdentity;
  session: Buffer | undefined;
  /** What has come: a view, valid during the call. */
  onData: (bytes: Uint8Array) => void;
}

/** Everything that comes lands here, again and again: a buffer for each record would be most of the garbage of a pull. */
const INCOMING_BYTES = 64 * 1024;

/** Starts the handshake. Throws what OpenSSL says of PEM it cannot use. */
export function connectTls({ relay, identity, session, onData }: RelayTlsOptions): tls.TLSSocket {
  const incoming = Buffer.allocUnsafeSlow(INCOMING_BYTES);
  const onread: OnReadOpts = {
    buffer: incoming,
    callback: (count) => {
      onData(incoming.subarray(0, count));
      return true;
    },
  };
  const options: tls.ConnectionOptions & { onread: OnReadOpts } = {
    onread,
    host: relay.host,
    port: relay.port,
    key: identity.key,
    cert: identity.chain,
    ca: identity.ca,
    minVersion: "TLSv1.2",
    // A literal address must not be sent as a server name (RFC 6066); it is compared with the iPAddress names.
    ...(isIP(relay.host) === 0 ? { servername: relay.host } : {}),
    ...(identity.crl === undefined ? {} : { crl: identity.crl }),
    ...(session === undefined ? {} : { session }),
    rejectUnauthorized: true,
    checkServerIdentity: (_name, certificate) =>
      tls.checkServerIdentity(relay.host, certificate) ?? roleError(certificate.subjectaltname),
  };
  const socket = tls.connect(options);
  socket.setNoDelay(true);
  return socket;
}

/** The peer's certificate is good, but for something else. */
export class RoleError extends Error {}

function roleError(subjectAltName: string | undefined): Error | undefined {
  const peer = identityFromAltName(subjectAltName);
  if (peer?.role === "relay") return undefined;
  return new RoleError(
    peer === undefined ? "it names no role" : `it is the certificate of ${peer.role} ${peer.name}`,
  );
}

/** The relay's name in its certificate. Throws what `tlsRefusal` understands. */
export function relayNameOf(socket: tls.TLSSocket, resumed: ResumableSession | undefined): string {
  if (resumed && socket.isSessionReused()) return resumed.relayName;
  const certificate = socket.getPeerX509Certificate();
  const wrong = roleError(certificate?.subjectAltName);
  if (wrong) throw wrong;
  return identityFromAltName(certificate?.subjectAltName)?.name ?? "";
}
