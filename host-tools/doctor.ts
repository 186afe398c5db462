// SPDX-License-Identifier: MIT
/** What `coffer doctor` looks at: the tools of this computer, the state folder, certificates and the relay. */

import { execFile } from "node:child_process";
import { access, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { listCertificates } from "./certs/authorities";
import { day } from "./certs/certificate-facts";
import { formatAddress } from "./certs/hosts";
import { Refusal } from "./refusal";
import type { Config, State } from "./state";

const runFile = promisify(execFile);
const toolPatienceMs = 15_000;
const relayPatienceMs = 3000;
const oldestNode = [20, 11] as const;

/** `missing` and `fail` stop something from working; `warn` is worth knowing. */
export type FindingState = "ok" | "warn" | "missing" | "fail";

export interface Finding {
  name: string;
  state: FindingState;
  detail: string;
  remedy?: string;
}

export async function examine(state: State): Promise<Finding[]> {
  const config = await loadConfigOrFinding(state);
  const found = await Promise.all([
    Promise.resolve(checkNode()),
    checkNpm(),
    checkTypeScript(),
    checkCompiler(),
    checkOpenssl(),
    checkModdable(),
    checkPermissions(state),
    checkCertificates(state),
    "finding" in config ? Promise.resolve([config.finding]) : checkRelay(config.config),
  ]);
  return found.flat();
}

function checkNode(): Finding[] {
  const detail = `${process.version} for ${process.platform} ${process.arch}`;
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const isNewEnough = major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1]);
  if (isNewEnough) return [{ name: "Node", state: "ok", detail }];
  return [{ name: "Node", state: "fail", detail, remedy: `Install Node ${oldestNode.join(".")} or later.` }];
}

async function checkNpm(): Promise<Finding[]> {
  const version = await firstLineOf(process.platform === "win32" ? "npm.cmd" : "npm", ["--version"]);
  if (version !== undefined) return [{ name: "npm", state: "ok", detail: version }];
  return [{ name: "npm", state: "warn", detail: "not found", remedy: "Install npm; it updates Coffer." }];
}

async function checkTypeScript(): Promise<Finding[]> {
  const remedy = "Run `npm install` in the Coffer folder; a firmware build needs it.";
  const compiler = await findUpwards("node_modules/typescript/bin/tsc");
  const version =
    compiler === undefined
      ? await firstLineOf("tsc", ["--version"])
      : await firstLineOf(process.execPath, [compiler, "--version"]);
  if (version === undefined) return [{ name: "TypeScript", state: "warn", detail: "not found", remedy }];
  return [{ name: "TypeScript", state: "ok", detail: version.replace(/^Version /, "") }];
}

async function checkCompiler(): Promise<Finding[]> {
  const compiler = process.env.CC ?? "cc";
  const version = await firstLineOf(compiler, ["--version"]);
  if (version === undefined)
    return [
      {
        name: "C compiler",
        state: "missing",
        detail: `${compiler} not found`,
        remedy: "Install one (Debian: `apt install gcc libc6-dev`); the simulated board is built with it.",
      },
    ];
  const is32Bit = await canCompile(compiler, ["-m32"]);
  return [
    { name: "C compiler", state: "ok", detail: version },
    is32Bit
      ? {
          name: "32-bit programs",
          state: "ok",
          detail: "the simulated board has the memory layout of an ESP32",
        }
      : {
          name: "32-bit programs",
          state: "warn",
          detail: "not possible; the simulated board is built as a 64-bit program",
          remedy: "Debian: `apt install gcc-multilib`. Its memory figures then equal an ESP32's.",
        },
  ];
}

async function canCompile(compiler: string, flags: readonly string[]): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), "coffer-doctor-"));
  try {
    const source = join(folder, "probe.c");
    await writeFile(
      source,
      "#include <stdlib.h>\nint main(void) { return sizeof(void *) == 4 ? 0 : EXIT_FAILURE; }\n",
    );
    const program = join(folder, "probe");
    await runFile(compiler, [...flags, source, "-o", program], { timeout: toolPatienceMs });
    await runFile(program, [], { timeout: toolPatienceMs });
    return true;
  } catch {
    return false;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function checkOpenssl(): Promise<Finding[]> {
  const version = await firstLineOf("openssl", ["version"]);
  if (version !== undefined) return [{ name: "OpenSSL", state: "ok", detail: version }];
  return [
    {
      name: "OpenSSL",
      state: "warn",
      detail: "not found",
      remedy: "Only the tests need it (Debian: `apt install openssl`).",
    },
  ];
}

/** The SDK announces itself by $MODDABLE; xs-dev puts it into the folders below. ESP-IDF says where it is by $IDF_PATH. */
async function checkModdable(): Promise<Finding[]> {
  const remedy =
    "Only needed to build firmware for a board, and for `npm run test:moddable`: `npx xs-dev setup`, then `npx xs-dev setup --device esp32`. See docs/board.md and https://github.com/Moddable-OpenSource/moddable.";
  const fromEnvironment = process.env.MODDABLE;
  const candidates = [
    ...(fromEnvironment === undefined || fromEnvironment === "" ? [] : [fromEnvironment]),
    join(homedir(), ".local", "share", "moddable"),
    join(homedir(), ".local", "share", "xs-dev", "moddable"),
    join(homedir(), "moddable"),
    join(homedir(), "Projects", "moddable"),
  ];
  for (const folder of candidates) {
    if (!(await isThere(join(folder, "xs", "includes", "xs.h")))) continue;
    if (folder === fromEnvironment)
      return [await checkModdableTools(folder), await checkDisplay(), await checkEspIdf()].flat();
    return [
      {
        name: "Moddable SDK",
        state: "warn",
        detail: `${folder}, but $MODDABLE does not say so`,
        remedy: `Set it: \`export MODDABLE=${folder}\`.`,
      },
    ];
  }
  if (fromEnvironment !== undefined && fromEnvironment !== "")
    return [
      {
        name: "Moddable SDK",
        state: "warn",
        detail: `$MODDABLE is ${fromEnvironment}, where there is none`,
        remedy,
      },
    ];
  const detail = "not installed; firmware is not built here, and its tests on the SDK are not run";
  return [{ name: "Moddable SDK", state: "warn", detail, remedy }];
}

async function checkModdableTools(folder: string): Promise<Finding> {
  const name = "Moddable SDK";
  const host = { linux: "lin", darwin: "mac", win32: "win" }[process.platform as string] ?? "lin";
  const tool = process.platform === "win32" ? "mcconfig.exe" : "mcconfig";
  if (await isThere(join(folder, "build", "bin", host, "release", tool)))
    return { name, state: "ok", detail: folder };
  return {
    name,
    state: "warn",
    detail: `${folder}, but its tools are not built`,
    remedy: "Build them as its Getting Started says (documentation/Moddable SDK - Getting Started.md).",
  };
}

/** The SDK's simulator opens a window; its tests give it one that nobody sees. */
async function checkDisplay(): Promise<Finding[]> {
  if (process.platform !== "linux") return [];
  const name = "Xvfb";
  const folders = (process.env.PATH ?? "").split(":");
  const found = await Promise.all(folders.map((folder) => isThere(join(folder, "Xvfb"))));
  if (found.includes(true)) return [{ name, state: "ok", detail: "the simulator's tests have a display" }];
  const remedy = "Only `npm run test:moddable` needs it (Debian: `apt install xvfb`).";
  return [{ name, state: "warn", detail: "not found; nothing is tested in Moddable's simulator", remedy }];
}

async function checkEspIdf(): Promise<Finding> {
  const name = "ESP-IDF";
  const folder = process.env.IDF_PATH ?? "";
  if (folder !== "" && (await isThere(join(folder, "tools", "idf.py"))))
    return { name, state: "ok", detail: folder };
  return {
    name,
    state: "warn",
    detail: folder === "" ? "$IDF_PATH is not set" : `$IDF_PATH is ${folder}, where there is none`,
    remedy: "Only needed to build for ESP32: install it as the SDK's documentation/devices/esp32.md says.",
  };
}

/** Nobody but the owner may read anything that is secret. */
async function checkPermissions(state: State): Promise<Finding[]> {
  const name = "State folder";
  if (!(await isThere(state.home)))
    return [
      {
        name,
        state: "warn",
        detail: `${state.home} does not exist yet`,
        remedy: "Run `coffer init --relay HOST:PORT`.",
      },
    ];
  if (process.platform === "win32") return [{ name, state: "ok", detail: state.home }];
  const open: string[] = [];
  for (const folder of ["authorities", "identities", "devices", "repository", "certs"])
    await findReadableByOthers(join(state.home, folder), open);
  if (open.length === 0) return [{ name, state: "ok", detail: `${state.home}, readable by its owner only` }];
  const shown = open.slice(0, 3).join(", ") + (open.length > 3 ? ` and ${String(open.length - 3)} more` : "");
  return [
    {
      name,
      state: "fail",
      detail: `others can read ${shown}`,
      remedy: `Run \`chmod -R go= '${state.home}'\`.`,
    },
  ];
}

async function findReadableByOthers(path: string, found: string[]): Promise<void> {
  const facts = await stat(path).catch(() => undefined);
  if (facts === undefined) return;
  if ((facts.mode & 0o077) !== 0) found.push(path);
  if (facts.isDirectory())
    for (const entry of await readdir(path)) await findReadableByOthers(join(path, entry), found);
}

async function checkCertificates(state: State): Promise<Finding[]> {
  const name = "Certificates";
  let records;
  try {
    records = await listCertificates(state);
  } catch (error) {
    return [failed(name, error)];
  }
  const findings: Finding[] = [];
  for (const record of records) {
    if (record.state === "valid" || record.state === "revoked") continue;
    const verb =
      record.state === "expires soon"
        ? "expires on"
        : record.state === "expired"
          ? "expired on"
          : "starts after now, ends";
    findings.push({
      name,
      state: record.state === "expires soon" ? "warn" : "fail",
      detail: `${record.role} ${record.name} ${verb} ${day(record.notAfter)}`,
      remedy: `Run \`coffer cert renew ${record.role} ${record.name}\`.`,
    });
  }
  if (findings.length > 0) return findings;
  return [
    {
      name,
      state: "ok",
      detail: records.length === 0 ? "none yet" : `${String(records.length)}, none about to expire`,
    },
  ];
}

async function loadConfigOrFinding(state: State): Promise<{ config: Config } | { finding: Finding }> {
  try {
    return { config: await state.loadConfig() };
  } catch (error) {
    const finding = failed("Configuration", error);
    const isNew = error instanceof Refusal && error.kind === "notInitialised";
    return { finding: isNew ? { ...finding, state: "warn" } : finding };
  }
}

function checkRelay({ relay }: Config): Promise<Finding[]> {
  const name = "Relay";
  const address = formatAddress(relay);
  return new Promise((resolve) => {
    const socket = connect({ host: relay.host, port: relay.port, timeout: relayPatienceMs });
    const end = (finding: Finding): void => {
      socket.destroy();
      resolve([finding]);
    };
    const unreachable = (why: string): void => {
      const remedy =
        "Start it there with `coffer relay`, and check the address, the firewall and the network.";
      end({ name, state: "warn", detail: `${address} does not answer (${why})`, remedy });
    };
    socket.once("connect", () => {
      end({ name, state: "ok", detail: `${address} answers` });
    });
    socket.once("timeout", () => {
      unreachable("no answer within 3 s");
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      unreachable(error.code ?? error.message);
    });
  });
}

function failed(name: string, error: unknown): Finding {
  const detail = error instanceof Error ? error.message : String(error);
  const remedy = error instanceof Refusal ? error.hint : undefined;
  return { name, state: "fail", detail, ...(remedy === undefined ? {} : { remedy }) };
}

async function firstLineOf(program: string, words: readonly string[]): Promise<string | undefined> {
  try {
    const { stdout } = await runFile(program, [...words], {
      timeout: toolPatienceMs,
      shell: process.platform === "win32",
    });
    return stdout.trim().split(/\r?\n/)[0];
  } catch {
    return undefined;
  }
}

/** A file in this folder or one above it, as Node looks for packages. */
async function findUpwards(path: string): Promise<string | undefined> {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const candidate = join(folder, path);
    if (await isThere(candidate)) return candidate;
    const above = dirname(folder);
    if (above === folder) return undefined;
    folder = above;
  }
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
