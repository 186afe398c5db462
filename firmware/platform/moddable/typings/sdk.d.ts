// SPDX-License-Identifier: MIT
/** The modules of the Moddable SDK that are used here and have no typings there, or not these members. */

declare module "hmac" {
  import type { Digest } from "crypt";
  export default class HMAC {
    constructor(digest: Digest, key: ArrayBuffer);
    process(...items: Uint8Array[]): ArrayBuffer;
  }
}

declare module "pkcs1" {
  const PKCS1: { OS2IP(octets: ArrayBufferLike): bigint };
  export default PKCS1;
}

declare module "pkcs1_5" {
  import type { PublicKey } from "x509";
  export default class PKCS1_5 {
    constructor(key: PublicKey, isPrivate: boolean, oid: readonly number[]);
    readonly modulusSize: number;
    readonly rsa: { process(value: bigint): bigint };
    emsaEncode(digest: ArrayBuffer, length: number): bigint;
  }
}

declare module "x509" {
  export interface PublicKey {
    modulus: bigint;
    exponent: bigint;
  }
  const X509: {
    decode(certificate: Uint8Array): { tbs: Uint8Array; algo: Uint32Array; sig: Uint8Array };
    decodeTBS(tbs: Uint8Array): { validity: { from: number; to: number } };
    decodeSPKI(certificate: Uint8Array): PublicKey;
    decodeSAN(certificate: Uint8Array): { tag: number; value: string | ArrayBuffer }[] | undefined;
  };
  export default X509;
}

declare module "ssl/cache" {
  const cache: { deleteSessionID(): void };
  export default cache;
}

declare module "ssl/session" {
  /** Of one direction, with AES-GCM: `iv` is the salt. */
  export interface SessionCipher {
    key: ArrayBuffer;
    iv: ArrayBuffer;
  }
  interface Socket {
    readable: number;
    writable: number;
    read(into: Uint8Array): void;
    write(bytes: Uint8Array): unknown;
  }
  export default class TlsSession {
    constructor(options: {
      serverName: string;
      protocolVersion: number;
      certificate: ArrayBuffer;
      clientCertificates: ArrayBuffer[];
      clientKey: ArrayBuffer;
      verify?: boolean;
      tls_max_fragment_length?: number;
    });
    /** What `handshake` does next; -1: takes a record. */
    readonly handshakeProcess: number;
    readonly serverCipher: SessionCipher | null;
    readonly clientCipher: SessionCipher | null;
    /** Of the next record from the relay, and to it. */
    readonly readSeqNum: bigint;
    readonly writeSeqNum: bigint;
    initiateHandshake(): void;
    /** One step; true when it was the last. */
    handshake(socket: Socket): boolean;
  }
}
