// SPDX-License-Identifier: MIT
/** Folders, repositories and odd trees for tests; everything is removed after the test. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BlobDevice } from "../blob-device";
import { createRepository } from "../create";
import type { KeySecret } from "../key-secret";
import { makeRecoveryCode } from "../recovery-code";
import { Repository } from "../repository";

export const PASSPHRASE = "correct horse battery staple";
/** In its place where a repository is opened hundreds of times: a recovery code, which needs no stretching. */
export const QUICK_SECRET = makeRecoveryCode();

export class Scratch {
  readonly folder = mkdtempSync(join(tmpdir(), "coffer-test-"));
  readonly home = join(this.folder, "home");
  readonly warnings: string[] = [];
  readonly #secret: string;
  readonly #open: Repository[] = [];

  /** What opens the repository when nothing else is said. */
  constructor(secret = PASSPHRASE) {
    this.#secret = secret;
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  write(path: string, content: string | Uint8Array): string {
    const full = this.path(path);
    mkdirSync(join(full, ".."), { recursive: true });
    writeFileSync(full, content);
    return full;
  }

  async create(home = this.home): Promise<void> {
    await createRepository({ home, passphrase: this.#secret });
  }

  async open(
    devices: BlobDevice[],
    options: {
      home?: string;
      passphrase?: KeySecret;
      computer?: string;
      signal?: AbortSignal;
      forgetDevices?: string[];
      checkpointEntries?: number;
      checkpointAgeMs?: number;
    } = {},
  ): Promise<Repository> {
    const repository = await Repository.open({
      ...options,
      home: options.home ?? this.home,
      passphrase: options.passphrase ?? this.#secret,
      computer: options.computer ?? "computer",
      devices,
      onWarning: (text) => this.warnings.push(text),
    });
    this.#open.push(repository);
    return repository;
  }

  async remove(): Promise<void> {
    for (const repository of this.#open.splice(0)) await repository.close().catch(() => undefined);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Pseudo-random bytes that are the same in every run. */
export function noise(seed: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state >>> 11;
  }
  return bytes;
}

/** Everything that a file system lets one do with names, sizes and kinds. Returns the folder. */
export function makeOddTree(scratch: Scratch, name = "odd"): string {
  const at = scratch.path(name);
  const put = (path: string | Buffer, content: string | Uint8Array): void => {
    writeFileSync(
      typeof path === "string" ? join(at, path) : Buffer.concat([Buffer.from(`${at}/`), path]),
      content,
    );
  };
  for (const folder of ["", "empty", "a", "a/deep", "a/deep/er", "read-only"])
    mkdirSync(join(at, folder), { recursive: true });
  put("zero-length", "");
  put("small", "hello\n");
  put("a/deep/er/binary", noise(1, 100_000));
  put("a/copy", noise(1, 100_000));
  put("large", noise(2, 3_500_000));
  const sparse = Buffer.alloc(5_000_000);
  noise(3, 200_000).copy(sparse, 1_000_000);
  put("sparse", sparse);
  put("all-zero", Buffer.alloc(300_000));
  put("one-zero-block", Buffer.alloc(65_536));
  put("zero-tail", Buffer.concat([noise(4, 70_000), Buffer.alloc(500_000)]));
  put("caf\u00e9", "composed");
  put("cafe\u0301", "decomposed");
  put("\u{1f510} \u202e\n\t\\", "strange but legal");
  put(Buffer.from([0x6c, 0xff, 0xfe, 0x80, 0x31]), "not UTF-8");
  put("n".repeat(255), "longest name");
  put("-rf", "looks like an option");
  put("executable", "#!/bin/sh\n");
  put("read-only/inside", "x");
  symlinkSync("small", join(at, "link"));
  symlinkSync("../../../../etc/passwd", join(at, "link-out"));
  symlinkSync("nowhere", join(at, "dangling"));
  symlinkSync("a", join(at, "link-to-folder"));
  utimesSync(join(at, "small"), 1_000_000_000.123456, 1_000_000_000.123456);
  utimesSync(join(at, "empty"), -1000, -1000);
  return at;
}

/** Asserts that a copy has everything in common with the original; times to the microsecond, which is what Node can set. */
export function assertSameTree(copy: string, original: string): void {
  const [one, two] = [describeTree(copy), describeTree(original)];
  assert.deepEqual(
    one.map((line) => line.text),
    two.map((line) => line.text),
  );
  one.forEach(({ text, mtimeNs }, i) => {
    const difference = Math.abs(Number(mtimeNs - (two[i]?.mtimeNs ?? 0n)));
    assert.ok(difference <= 1000, `${text}: time differs by ${String(difference)} ns`);
  });
}

function describeTree(root: string): { text: string; mtimeNs: bigint }[] {
  const lines: { text: string; mtimeNs: bigint }[] = [];
  const visit = (path: Buffer, name: string): void => {
    const stat = lstatSync(path, { bigint: true });
    const line = (rest: string): number =>
      lines.push({ text: `${name} ${(stat.mode & 0o7777n).toString(8)} ${rest}`, mtimeNs: stat.mtimeNs });
    if (stat.isSymbolicLink()) line(`-> ${readlinkSync(path, { encoding: "latin1" })}`);
    else if (stat.isFile())
      line(`${String(stat.size)} ${createHash("sha256").update(readFileSync(path)).digest("hex")}`);
    else {
      line("/");
      for (const child of readdirSync(path, { encoding: "latin1" }).sort())
        visit(Buffer.concat([path, Buffer.from("/"), Buffer.from(child, "latin1")]), `${name}/${child}`);
    }
  };
  visit(Buffer.from(root), "");
  return lines;
}
