// SPDX-License-Identifier: MIT
/**
 * The TLS below a connection to the relay: mutual, TLS 1.2 or 1.3, trusting the relay authority and nothing else. The
 * relay's certificate has to carry exactly one `coffer:` name, with the role of a relay, and to be good for the
 * configured host. What goes wrong is turned into a refusal that says who refused whom.
 */

import { X509Certificate, createHash } from "node:crypto";
import { isIP } from "node:net";
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
}

/** Starts the handshake. Throws what OpenSSL says of PEM it cannot use. */
export function connectTls({ relay, identity, session }: RelayTlsOptions): tls.TLSSocket {
  const options: tls.ConnectionOptions = {
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

class RoleError extends Error {}

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

const EXPIRED = new Set(["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"]);
const FOREIGN = new Set([
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
  "INVALID_CA",
]);
const UNREACHABLE: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  EHOSTUNREACH: "there is no way to that host",
  ENETUNREACH: "there is no way to that network",
  ETIMEDOUT: "it does not answer",
  ENOTFOUND: "the name is not known",
  EAI_AGAIN: "the name could not be looked up",
};

/**
 * How far the connection had come. One that just ends when TLS is done and the relay has not welcomed us, is a relay
 * that refuses our certificate without a word: in TLS 1.3 the client's handshake is over before the server judges it.
 */
export type Stage = "connecting" | "secured" | "welcomed";

/** The refusal for that: most likely final, but a relay that was just stopping looks the same. */
export class SilentHangUp extends Refusal {}

/** What ended the connection, as a refusal. */
export function tlsRefusal(error: Error & { code?: string }, relay: RelayAddress, stage: Stage): Refusal {
  if (error instanceof Refusal) return error;
  const where = `relay ${formatRelay(relay)}`;
  const code = error.code ?? "";
  const options = (hint: string): { hint: string; cause: unknown } => ({ hint, cause: error });
  if (error instanceof RoleError) {
    return new Refusal(
      "wrongRole",
      `${where} shows a certificate that is not a relay's: ${error.message}`,
      options(
        "Check the relay's address, and start the relay with the certificate that `coffer cert relay` made.",
      ),
    );
  }
  if (EXPIRED.has(code)) {
    return new Refusal(
      "certificateExpired",
      `the certificate of ${where} is not valid today`,
      options("Renew it with `coffer cert renew relay NAME`, and check the clocks of both computers."),
    );
  }
  if (code === "CERT_REVOKED") {
    return new Refusal(
      "certificateRevoked",
      `the certificate of ${where} has been revoked`,
      options("Make the relay a new one with `coffer cert relay NAME`."),
    );
  }
  if (code === "CRL_HAS_EXPIRED" || code === "UNABLE_TO_GET_CRL") {
    return new Refusal(
      "damagedState",
      "the list of revoked relay certificates is out of date or missing",
      options("Copy it anew from the computer where certificates are made."),
    );
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return new Refusal(
      "certificateForeign",
      `the certificate of ${where} is not good for the host ${relay.host}`,
      options(`Make the relay a certificate that is: \`coffer cert relay NAME --host ${relay.host}\`.`),
    );
  }
  if (code === "INVALID_PURPOSE") {
    return new Refusal(
      "wrongRole",
      `${where} shows a certificate that is not a server's`,
      options("Start the relay with the certificate that `coffer cert relay` made."),
    );
  }
  if (FOREIGN.has(code)) {
    return new Refusal(
      "certificateForeign",
      `the certificate of ${where} was not signed by our relay authority`,
      options("Check the relay's address. If it is right, somebody may be posing as your relay."),
    );
  }
  return alertRefusal(code, where, options) ?? lostRefusal(error, where, stage);
}

/** OpenSSL's names for the alerts by which the other side refuses a certificate. */
function alertRefusal(
  code: string,
  where: string,
  options: (hint: string) => { hint: string; cause: unknown },
): Refusal | undefined {
  if (!code.startsWith("ERR_SSL_")) return undefined;
  if (code.includes("CERTIFICATE_REVOKED")) {
    return new Refusal(
      "certificateRevoked",
      `${where} refuses this computer's certificate: it has been revoked`,
      options("Make a new one with `coffer cert client NAME`."),
    );
  }
  if (code.includes("CERTIFICATE_EXPIRED")) {
    return new Refusal(
      "certificateExpired",
      `${where} refuses this computer's certificate: it has expired`,
      options("Run `coffer cert renew client NAME`."),
    );
  }
  if (code.includes("UNKNOWN_CA") || code.includes("BAD_CERTIFICATE") || code.includes("DECRYPT_ERROR")) {
    return new Refusal(
      "certificateForeign",
      `${where} refuses this computer's certificate: another authority signed it`,
      options("Give the relay the device authority's certificate of this state folder."),
    );
  }
  if (code.includes("ALERT")) {
    return new Refusal(
      "certificateForeign",
      `${where} refuses the connection: ${code}`,
      options("Look into the relay's log for the reason."),
    );
  }
  return new Refusal(
    "relayUnreachable",
    `what answers at ${where} does not speak TLS as a Coffer relay does`,
    options("Check the host and the port."),
  );
}

function lostRefusal(error: Error & { code?: string }, where: string, stage: Stage): Refusal {
  const why = UNREACHABLE[error.code ?? ""];
  if (stage === "secured") {
    return new SilentHangUp(
      "certificateForeign",
      `${where} hangs up when it sees this computer's certificate`,
      {
        hint: "It trusts another device authority, or the certificate has expired or was revoked: see the relay's log.",
        cause: error,
      },
    );
  }
  if (stage === "welcomed") {
    return new Refusal("connectionLost", `the connection to ${where} broke`, {
      hint: "Run the same command again; it continues where it stopped.",
      cause: error,
    });
  }
  return new Refusal(
    "relayUnreachable",
    `${where} cannot be reached: ${why ?? error.code ?? error.message}`,
    {
      hint: "Check that the relay runs, its address, and the network between.",
      cause: error,
    },
  );
}
