// SPDX-License-Identifier: MIT
/**
 * An entry of the checkpoint log: up to where a checkpoint goes and in which blobs it is. Signed and sealed like a log
 * entry. docs/repository.md "Checkpoints".
 *
 *   place = "coffer checkpoint 1" | repository
 */

import type { KeyObject } from "node:crypto";
import { encode } from "cborg";
import { DataError } from "../../firmware/protocol/data-error";
import { HASH_BYTES } from "../../firmware/protocol/limits";
import type { EntryOrder } from "./entry-order";
import { PUBLIC_KEY_BYTES } from "./log-entry";
import { type RepositoryKeys, WRITER_ID_BYTES } from "./repository-keys";
import { openSigned, sealSigned } from "./signed-seal";
import { asArray, asBytes, asNumber, asRecord, strictDecode } from "./strict-cbor";

const VERSION = 1;
/** 2 MiB of snapshot each; the record has to fit in an entry of a device's log. */
export const MAX_CHECKPOINT_PARTS = 64;

/** The entry with which a checkpoint ends: it stands for this one and all that its writer had seen. */
export interface CheckpointCut extends EntryOrder {
  hash: Uint8Array;
}

export interface CheckpointRecord {
  cut: CheckpointCut;
  /** Who made it, or vouches for it. */
  writer: Uint8Array;
  publicKey: Uint8Array;
  /** Ids of the blobs that the snapshot is in. */
  parts: Uint8Array[];
  sizeBytes: number;
  /** SHA-256 of the snapshot, which has the hash of everything that it stands for in it. */
  hash: Uint8Array;
}

export function sealRecord(
  keys: RepositoryKeys,
  signingKey: KeyObject,
  record: CheckpointRecord,
): Uint8Array {
  const { cut, writer, publicKey, parts, sizeBytes, hash } = record;
  const body = encode({
    v: VERSION,
    cut: [cut.lamport, cut.writer, cut.sequence, cut.hash],
    by: [writer, publicKey],
    parts,
    size: sizeBytes,
    hash,
  });
  return sealSigned({ keys, place: placeOf(keys), signingKey, body });
}

/** Throws DataError unless a writer of the repository signed it. Whether that one may is the caller's question. */
export function openRecord(keys: RepositoryKeys, sealed: Uint8Array): CheckpointRecord {
  let record: CheckpointRecord | undefined;
  openSigned({
    keys,
    place: placeOf(keys),
    sealed,
    what: "checkpoint",
    publicKeyOf: (body) => {
      record = readRecord(body);
      return record.publicKey;
    },
  });
  if (!record) throw new Error("a checkpoint that nobody read");
  return record;
}

function readRecord(body: Uint8Array): CheckpointRecord {
  const value = asRecord(strictDecode(body), "checkpoint");
  if (value["v"] !== VERSION) throw new DataError("version", `checkpoint of version ${String(value["v"])}`);
  const [lamport, cutWriter, sequence, cutHash] = asArray(value["cut"], 4, "cut");
  const [writer, publicKey] = asArray(value["by"], 2, "by");
  return {
    cut: {
      lamport: asNumber(lamport, "cut"),
      writer: asBytes(cutWriter, WRITER_ID_BYTES, WRITER_ID_BYTES, "cut"),
      sequence: asNumber(sequence, "cut"),
      hash: asBytes(cutHash, HASH_BYTES, HASH_BYTES, "cut"),
    },
    writer: asBytes(writer, WRITER_ID_BYTES, WRITER_ID_BYTES, "by"),
    publicKey: asBytes(publicKey, PUBLIC_KEY_BYTES, PUBLIC_KEY_BYTES, "by"),
    parts: asArray(value["parts"], MAX_CHECKPOINT_PARTS, "parts").map((id) =>
      asBytes(id, HASH_BYTES, HASH_BYTES, "parts"),
    ),
    sizeBytes: asNumber(value["size"], "size"),
    hash: asBytes(value["hash"], HASH_BYTES, HASH_BYTES, "hash"),
  };
}

function placeOf(keys: RepositoryKeys): Buffer {
  return Buffer.concat([Buffer.from("coffer checkpoint 1", "latin1"), keys.repositoryId]);
}
