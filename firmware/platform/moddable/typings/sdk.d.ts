// SPDX-License-Identifier: MIT
/** The modules of the Moddable SDK that are used here and have no typings there, or not these members. */

declare module "crypt" {
  export class BlockCipher {
    constructor(cipher: "AES", key: ArrayBuffer);
  }
}

declare module "gcm" {
  import type { BlockCipher } from "crypt";
  export default class GCM {
    constructor(cipher: BlockCipher, tagLength?: number);
    init(iv: ArrayBuffer, additional: ArrayBuffer): void;
    decrypt(data: Uint8Array): ArrayBuffer;
    close(): ArrayBuffer;
    process(
      data: Uint8Array,
      into: undefined,
      iv: ArrayBuffer,
      additional: ArrayBuffer,
      isEncrypting: true,
    ): ArrayBuffer;
  }
}

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

declare module "embedded:io/socket/tcp/tls" {
  /** `Device`: what is given to the TCP class as its `TCP`. */
  export default class TLSSocket {
    constructor(options: {
      address: string;
      host: string;
      port: number;
      TCP: import("../guarded-tcp").GuardedTcpDevice;
      secure: {
        certificate: ArrayBuffer;
        clientCertificates: ArrayBuffer[];
        clientKey: ArrayBuffer;
        verify?: boolean;
        tls_max_fragment_length?: number;
      };
      onReadable(count: number): void;
      onWritable(count: number): void;
      onError(): void;
    });
    read(into: Uint8Array): number | undefined;
    write(bytes: Uint8Array): number;
    close(): void;
  }
}
