// SPDX-License-Identifier: MIT
/**
 * How big the root manifest's image is, as far as that is known without Espressif's tools: what the SDK's linker made, and
 * our C compiled for 32 bits by the computer's own compiler, which stands for the chip's as a measure of growth, not of size.
 */
import { execFile } from "node:child_process";
import { mkdir, readFile, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { cArguments, cFiles } from "./moddable-c";
import type { ModdableImage } from "./moddable-image";

const run = promisify(execFile);
/** Of a 32-bit chip. */
const SLOT_BYTES = 16;
const POINTER_BYTES = 4;

/** Bytes, where nothing else is said. */
export interface ImageSize {
  /** XS byte code of all modules. */
  byteCode: number;
  /** Slots that the linker froze into flash. */
  flashSlots: number;
  largestPreloadedModule: number;
  /** What the engine takes when it starts: chunks, slots, stack, and a pointer for each frozen object that may change. */
  engineRam: number;
  /** Of it, `creation`'s. */
  chunks: number;
  slots: number;
  /** The linked modules with all their tables, 32 bits. */
  linked: number;
  /** Our C, 32 bits: code, and memory that it always has. */
  nativeCode: number;
  nativeRam: number;
}

export async function measureImage(
  sdk: string,
  { generated }: ModdableImage,
  platform: "esp32" | "lin",
): Promise<ImageSize & { largestName: string }> {
  const source = await readFile(join(generated, "mc.xs.c"), "utf8");
  const count = (name: string): number => {
    const found = new RegExp(`^#define mx${name}Count (\\d+)$`, "m").exec(source)?.[1];
    if (found === undefined) throw new Error(`mc.xs.c: no mx${name}Count`);
    return Number(found);
  };
  const creation = /^\t\{ (\d+), \d+, (\d+), \d+, (\d+), /m.exec(source);
  if (!creation) throw new Error("mc.xs.c: no creation");
  const [chunks = 0, slots = 0, stack = 0] = creation.slice(1).map(Number);
  const preloads = [...(await readFile(join(generated, "makefile"), "utf8")).matchAll(/^\t-p (\S+?)\\?$/gm)];
  const modules = join(generated, "modules");
  const sizeOf = async (name: string): Promise<number> => (await stat(join(modules, name))).size;
  let [largestName, largestPreloadedModule] = ["", 0];
  for (const [, name = ""] of preloads) {
    const bytes = await sizeOf(name);
    if (bytes > largestPreloadedModule) [largestName, largestPreloadedModule] = [name, bytes];
  }
  let byteCode = 0;
  for (const name of await readdir(modules, { recursive: true }))
    if (name.endsWith(".xsb")) byteCode += await sizeOf(name);
  const target = platform === "esp32" ? "esp32" : "linux";
  const options = await cArguments(sdk, generated, target);
  const linked = await compiledSize(join(generated, "size"), options, [join(generated, "mc.xs.c")]);
  const native = await compiledSize(join(generated, "size"), options, cFiles(target));
  return {
    byteCode,
    flashSlots: count("Heap"),
    largestPreloadedModule,
    largestName,
    engineRam: chunks + (slots + stack) * SLOT_BYTES + count("Alias") * POINTER_BYTES,
    chunks,
    slots,
    linked: linked.constant + linked.variable,
    nativeCode: native.constant,
    nativeRam: native.variable,
  };
}

/** Of object files: code and constants; variables. */
async function compiledSize(
  folder: string,
  options: readonly string[],
  files: readonly string[],
): Promise<{ constant: number; variable: number }> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await run("gcc", ["-m32", "-Os", "-w", "-c", ...options, ...files], { cwd: folder }).catch(
    (error: unknown) => {
      throw new Error("gcc -m32 failed; is it installed (Debian: apt-get install gcc-multilib)?", {
        cause: error,
      });
    },
  );
  const objects = (await readdir(folder)).map((name) => join(folder, name));
  const { stdout } = await run("size", ["--totals", ...objects]);
  const [text = 0, data = 0, bss = 0] = (stdout.trim().split("\n").at(-1) ?? "")
    .trim()
    .split(/\s+/)
    .map(Number);
  return { constant: text, variable: data + bss };
}
