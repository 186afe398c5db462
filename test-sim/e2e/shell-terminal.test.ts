// SPDX-License-Identifier: MIT
/** The shell as a person has it: on a terminal, which `script` (of every Linux's base system) makes. */
import { equal, match, ok } from "node:assert/strict";
import { type ChildProcessByStdio, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { projectRoot } from "../project-root";
import { TcpProxy } from "./tcp-proxy";
import { World, passphrase } from "./world";

class Terminal {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  text = "";

  constructor(words: readonly string[], environment: NodeJS.ProcessEnv) {
    const coffer = join(projectRoot(), "host-tools", "bin", "coffer.js");
    const line = [process.execPath, coffer, ...words].map((word) => `'${word}'`).join(" ");
    this.#child = spawn("script", ["-qefc", line, "/dev/null"], {
      env: { ...environment, TERM: "xterm", COLUMNS: "100" },
      stdio: ["pipe", "pipe", "ignore"],
    });
    this.#child.stdout.setEncoding("utf8").on("data", (text: string) => (this.text += text));
  }

  type(text: string): void {
    this.#child.stdin.write(text);
  }

  /** Waits until something new that matches is on the screen. */
  async sees(pattern: RegExp, since = 0): Promise<void> {
    const endMs = performance.now() + 20_000;
    while (!pattern.test(this.text.slice(since))) {
      if (performance.now() > endMs)
        throw new Error(`no ${String(pattern)} in ${JSON.stringify(this.text.slice(since))}`);
      await delay(20);
    }
  }

  /** Types something, and waits until the line looks like that. */
  async types(text: string, pattern: RegExp): Promise<void> {
    const since = this.text.length;
    this.type(text);
    await this.sees(pattern, since);
  }

  /** Types a line, and waits for the next prompt. */
  async run(line: string): Promise<string> {
    const since = this.text.length;
    this.type(`${line}\r`);
    await this.sees(/\n(.*\r)?\u001b\[1G\u001b\[0Jcoffer:[^\n]*> /, since);
    return this.text.slice(since);
  }

  async ended(): Promise<number | null> {
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    const [code] = (await once(this.#child, "close")) as [number | null];
    return code;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

function hasScript(): boolean {
  try {
    return /util-linux/.test(execFileSync("script", ["--version"], { encoding: "utf8" }));
  } catch {
    return false;
  }
}

describe("the shell on a terminal", function () {
  this.timeout(60_000);
  let world: World;
  let proxy: TcpProxy;
  let home: string;
  let terminal: Terminal;

  before(async function () {
    if (!hasScript()) this.skip();
    world = await World.create();
    await world.startRelay();
    await world.startNode("cam1");
    proxy = await TcpProxy.start(world.port);
    home = await world.homeThrough("client", proxy.port);
    await mkdir(world.path("My Photos"));
    await writeFile(world.path("My Photos", "a cat.jpg"), "meow");
    await writeFile(world.path("large"), randomBytes(6_000_000));
    const { COFFER_PASSPHRASE: _none, ...environment } = process.env;
    terminal = new Terminal(["shell", "--device", "cam1"], { ...environment, COFFER_HOME: home });
  });
  after(async () => {
    terminal.kill();
    await proxy.close();
    await world.close();
  });

  it("asks for the passphrase without showing it, and then prompts", async () => {
    await terminal.sees(/Passphrase: /);
    terminal.type(`${passphrase}\r`);
    await terminal.sees(/coffer:\/> /);
    ok(!terminal.text.includes(passphrase));
  });

  it("completes commands, local paths and remote paths with Tab, quoting what needs it", async () => {
    await terminal.run(`lcd ${world.folder}`);
    await terminal.types("put My\t", /put My\\ Photos\//);
    await terminal.run("");
    await terminal.types("ls My\t", /ls My\\ Photos\//);
    await terminal.types("a\t", /a\\ cat\.jpg/);
    match(await terminal.run(""), /My Photos\/a cat\.jpg\r\n/);
    await terminal.types("rmd\t", /rmdir /);
    await terminal.types("\u0003", /coffer:\/> /);
  });

  it("shows where it is in the prompt", async () => {
    match(await terminal.run("cd My\\ Photos"), /coffer:\/My Photos> /);
    match(await terminal.run("cd .."), /coffer:\/> /);
  });

  it("stays after an error", async () => {
    match(await terminal.run("cd nowhere"), /coffer: error: there is no \/nowhere/);
    match(await terminal.run("pwd"), /\r\n\/\r\n/);
  });

  it("shows progress and lets Ctrl-C stop the command, not the shell", async () => {
    proxy.bytesPerSecond = 1_000_000;
    const since = terminal.text.length;
    terminal.type("put large\r");
    await terminal.sees(/push .*%.* moved, /, since);
    terminal.type("\u0003");
    await terminal.sees(/interrupted/, since);
    proxy.bytesPerSecond = undefined;
    match(await terminal.run("ls"), /My Photos/);
    match(await terminal.run("put large"), /stored large/);
  });

  it("clears a half-typed line with Ctrl-C", async () => {
    await terminal.types("rm -r My", /My/);
    await terminal.types("\u0003", /coffer:\/> /);
    match(await terminal.run("pwd"), /\r\n\/\r\n/);
    match(await terminal.run("ls"), /My Photos/);
  });

  it("keeps its history, owner-only and without the passphrase, and ends with Ctrl-D", async () => {
    terminal.type("\u0004");
    equal(await terminal.ended(), 0);
    const path = join(home, "shell-history");
    const history = await readFile(path, "utf8");
    match(history, /^put large$/m);
    ok(!history.includes(passphrase));
    equal((await stat(path)).mode & 0o777, 0o600);
  });
});
