// SPDX-License-Identifier: MIT
/**
 * Whether a chain is a relay's: exactly the leaf and the authority that this device was given, the leaf signed by it, in
 * date, valid for the host, and named `coffer:relay:NAME`; of a relay that was found, the name counts and not the host. The SDK's own check is not enough: it is content when any two
 * neighbours of the chain match, so a stranger's certificate in front of a true chain passes.
 *
 * The signature is compared with the one encoding it may have (RFC 8017 8.2.2, by encoding and not by parsing).
 */
import { Digest } from "crypt";
import PKCS1 from "pkcs1";
import PKCS1_5 from "pkcs1_5";
import X509 from "x509";
import { isEqual } from "../../protocol/session";
import { asMessage } from "./moddable-crypto";
import { LOWER_AND_DIGITS, isMadeOf } from "./plain-names";
import { TlsRefusal } from "./tls-guard";

const SHA256_WITH_RSA = "1,2,840,113549,1,1,11";
const SHA256_OID: readonly number[] = [2, 16, 840, 1, 101, 3, 4, 2, 1];
const GeneralName = { dns: 2, uri: 6, ipAddress: 7 } as const;
const URI_START = "coffer:";
const RELAY_START = "coffer:relay:";
const NAME_CHARACTERS = `${LOWER_AND_DIGITS}-`;
const MAX_NAME = 32;

export interface RelayExpectation {
  /** DER. */
  authority: Uint8Array;
  host: string;
  /** Of a relay that was found. */
  relayName?: string;
  unixMs: number;
}

/** Throws TlsRefusal "certificate". Returns until when the certificate is good. */
export function judgeRelayChain(chain: readonly Uint8Array[], expected: RelayExpectation): number {
  const [leaf, authority] = chain;
  if (!leaf || !authority || chain.length !== 2 || !isEqual(authority, expected.authority)) {
    throw refusal("it is not of the authority that this device trusts");
  }
  let untilMs: number;
  try {
    untilMs = judgeLeaf(leaf, expected);
  } catch (error) {
    if (error instanceof TlsRefusal) throw error;
    throw refusal(`it cannot be read (${String(error)})`);
  }
  return untilMs;
}

function judgeLeaf(leaf: Uint8Array, { authority, host, relayName, unixMs }: RelayExpectation): number {
  const { tbs, algo, sig } = X509.decode(leaf);
  if (algo.toString() !== SHA256_WITH_RSA || !isSigned(tbs, sig, authority)) {
    throw refusal("it is not signed by the authority that this device trusts");
  }
  const { from, to } = X509.decodeTBS(tbs).validity;
  if (!(from <= unixMs && unixMs < to)) throw refusal("it is not valid at this time; is the clock right?");
  const own = X509.decodeTBS(X509.decode(authority).tbs).validity;
  if (!(own.from <= unixMs && unixMs < own.to))
    throw refusal("its authority's is not valid at this time; is the clock right?");
  const names = X509.decodeSAN(leaf) ?? [];
  const uris = names.filter(
    ({ tag, value }) => tag === GeneralName.uri && String(value).toLowerCase().startsWith(URI_START),
  );
  const uri = String(uris[0]?.value);
  if (uris.length !== 1 || !isRelay(uri)) throw refusal("it does not name a relay");
  if (relayName !== undefined) {
    if (uri !== RELAY_START + relayName) throw refusal(`it is not the relay ${relayName}'s`);
  } else if (!names.some(({ tag, value }) => isHost(tag, value, host)))
    throw refusal(`it is not valid for ${host}`);
  return to;
}

function isSigned(tbs: Uint8Array, signature: Uint8Array, authority: Uint8Array): boolean {
  const key = new PKCS1_5(X509.decodeSPKI(authority), false, SHA256_OID);
  if (signature.length !== key.modulusSize) return false;
  const digest = new Digest("SHA256");
  digest.write(asMessage(tbs));
  return (
    key.rsa.process(PKCS1.OS2IP(signature.slice().buffer)) ===
    key.emsaEncode(digest.close(), key.modulusSize - 1)
  );
}

function isRelay(uri: string): boolean {
  return uri.startsWith(RELAY_START) && isMadeOf(uri.slice(RELAY_START.length), NAME_CHARACTERS, MAX_NAME);
}

function isHost(tag: number, value: string | ArrayBuffer, host: string): boolean {
  if (tag === GeneralName.dns) return typeof value === "string" && value.toLowerCase() === host.toLowerCase();
  return (
    tag === GeneralName.ipAddress &&
    typeof value !== "string" &&
    value.byteLength === 4 &&
    new Uint8Array(value).join(".") === host
  );
}

function refusal(why: string): TlsRefusal {
  return new TlsRefusal("certificate", `the relay's certificate is refused: ${why}`);
}
