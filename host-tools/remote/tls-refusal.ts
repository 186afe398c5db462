// SPDX-License-Identifier: MIT
/** What goes wrong between us and a relay before it has welcomed us, as refusals that say who refused whom. */

import { Refusal } from "../refusal";
import { RoleError, formatRelay } from "./relay-tls";
import type { RelayAddress } from "./relay-tls";

const EXPIRED = new Set(["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"]);
const FOREIGN = new Set([
  // Our list is that of our authority: none for this issuer means another authority, and OpenSSL asks for it first.
  "UNABLE_TO_GET_CRL",
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
  if (code === "CRL_HAS_EXPIRED") {
    return new Refusal(
      "damagedState",
      "the list of revoked relay certificates is out of date",
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
