// SPDX-License-Identifier: MIT
/** `coffer` as a person and a script meet it: the built program in a process of its own. */

import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { issue } from "./certs/authorities";
import { commandTable } from "./command-table";
import { ExitStatus } from "./exit-status";
import { initialise } from "./initialise";
import { State } from "./state";
import { temporaryFolder } from "./test/temporary-folder";

const runFile = promisify(execFile);
const root = fileURLToPath(new URL("..", import.meta.url));
const program = join(root, "host-tools", "bin", "coffer.js");

interface Ended {
  status: number;
  stdout: string;
  stderr: string;
}

describe("coffer", function () {
  this.slow(2000);
  this.timeout(60_000);
  const folder = temporaryFolder();
  let home: string;

  before(async () => {
    await runFile(process.execPath, [join(root, "build.mjs"), "--if-stale"]);
    home = join(folder.path, "home");
    await initialise(new State(home), {
      relay: { host: "127.0.0.1", port: 1 },
      relayName: "home",
      clientName: "laptop",
      hosts: ["127.0.0.1"],
      passphrase: "x",
      createRepository: () => Promise.resolve({ repositoryId: "00" }),
    });
  });

  async function coffer(words: string[], environment: NodeJS.ProcessEnv = {}): Promise<Ended> {
    const env = { ...process.env, COFFER_HOME: home, COFFER_PASSPHRASE: "", ...environment };
    const child = spawn(process.execPath, [program, ...words], {
      env,
      cwd: folder.path,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    const status = await new Promise<number>((resolve) =>
      child.once("close", (code) => {
        resolve(code ?? -1);
      }),
    );
    return { status, stdout, stderr };
  }

  /** A refusal in its form: one error line, at most one hint line, nothing on stdout. */
  async function refused(
    words: string[],
    environment?: NodeJS.ProcessEnv,
  ): Promise<{ status: number; error: string }> {
    const { status, stdout, stderr } = await coffer(words, environment);
    assert.equal(stdout, "");
    const [, error] = /^coffer: error: ([^\n]+)\n(?:coffer: hint: [^\n]+\n)?$/.exec(stderr) ?? [];
    assert.ok(error !== undefined, stderr);
    return { status, error };
  }

  it("--help lists every command, --version the version", async () => {
    const help = await coffer(["--help"]);
    assert.equal(help.status, 0);
    for (const { command, describe } of commandTable) {
      assert.ok(help.stdout.includes(`coffer ${command} `), command);
      // The overview breaks long lines.
      assert.ok(help.stdout.replace(/\s+/g, " ").includes(describe), describe);
    }
    const version = await coffer(["--version"]);
    assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
  });

  it("called by its name, does not have Node read the authorities that a system adds to its own", async () => {
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: join(folder.path, "absent.pem") };
    assert.equal((await runFile(program, ["--version"], { env })).stderr, "");
  });

  it("every command of the table is the one in its file, and explains itself", async () => {
    for (const { command, describe, load } of commandTable) {
      const loaded = await load();
      assert.deepEqual([loaded.command, loaded.describe], [command, describe]);
      const [name = ""] = command.split(" ");
      const help = await coffer([name, "--help"]);
      assert.equal(help.status, 0, help.stderr);
      assert.ok(help.stdout.startsWith(`coffer ${command}\n`), help.stdout);
    }
  });

  for (const [words, error] of [
    [[], "which command?"],
    [["frobnicate"], "unknown command: frobnicate"],
    [["devise", "list"], "there is no such command; did you mean device?"],
    [["cert"], "a word is missing on the command line"],
    [["cert", "list", "--bogus"], "unknown argument: bogus"],
    [["cert", "list", "extra"], "unknown command: extra"],
    [["init"], "neither --relay nor --join is given"],
    [["init", "--relay"], "not enough arguments following: relay"],
    [["init", "--relay", "a:1", "--relay", "b:2"], "--relay is given more than once"],
    [["init", "--relay", "nowhere"], '"nowhere" is not HOST:PORT'],
    [["init", "--relay", "host:65536"], '"host:65536" is not HOST:PORT'],
    [["init", "--relay", "1.2.3:4"], '"1.2.3:4" is not HOST:PORT'],
    [["init", "--relay", "::1:4"], '"::1:4" is not HOST:PORT'],
    [["init", "--relay", "a:1", "--host", "a b"], '"a b" is neither a DNS name nor an address'],
    [["device", "add", "Cam1"], '"Cam1" cannot name a device'],
    [["device", "add", "../cam"], '"../cam" cannot name a device'],
    [["cert", "relay", "x".repeat(33), "--host", "a"], `"${"x".repeat(33)}" cannot name a relay`],
    [["cert", "client", "x", "--days", "0"], "--days has to be a whole number from 1 to 7300, not 0"],
    [["cert", "client", "x", "--days", "much"], "--days has to be a whole number from 1 to 7300, not NaN"],
  ] as const)
    it(`refuses \`${["coffer", ...words].join(" ").slice(0, 60)}\` as wrong usage`, async () => {
      assert.deepEqual(await refused([...words]), { status: ExitStatus.usage, error });
    });

  it("init refuses where there is a Coffer already, and changes nothing", async () => {
    const config = await readFile(join(home, "config.json"), "utf8");
    const { status } = await refused(["init", "--relay", "other:1"], { COFFER_PASSPHRASE: "x" });
    assert.equal(status, ExitStatus.alreadyExists);
    assert.equal(await readFile(join(home, "config.json"), "utf8"), config);
  });

  it("without a passphrase and a terminal, init refuses instead of waiting", async () => {
    const other = join(folder.path, "no-passphrase");
    const { status } = await refused(["init", "--relay", "a:1", "--home", other]);
    assert.equal(status, ExitStatus.noPassphrase);
    await assert.rejects(stat(other), { code: "ENOENT" });
    const missing = await refused(["init", "--relay", "a:1", "--home", other, "--passphrase-file", "absent"]);
    assert.equal(missing.status, ExitStatus.localPathNotFound);
  });

  it("a folder without a Coffer, and one of a newer version, are told apart", async () => {
    assert.equal(
      (await refused(["device", "list", "--home", folder.path])).status,
      ExitStatus.notInitialised,
    );
    const newer = join(folder.path, "newer");
    await new State(newer).makeHome();
    await writeFile(join(newer, "config.json"), '{"version":99}');
    assert.equal((await refused(["device", "list", "--home", newer])).status, ExitStatus.newerVersion);
  });

  it("certificates: make, list, renew, revoke", async () => {
    const made = await coffer([
      "cert",
      "keyholder",
      "vault",
      "--host",
      "vault.example.org",
      "192.0.2.9",
      "--json",
    ]);
    assert.equal(made.status, 0, made.stderr);
    assert.equal(made.stderr, "");
    const record = JSON.parse(made.stdout) as { serial: string; hosts: string[]; state: string };
    assert.deepEqual(record.hosts, ["vault.example.org", "192.0.2.9"]);
    assert.equal(
      (await refused(["cert", "keyholder", "vault", "--host", "a"])).status,
      ExitStatus.alreadyExists,
    );
    const renewed = await coffer(["cert", "renew", "keyholder", "vault", "--days", "10", "--json"]);
    assert.equal((JSON.parse(renewed.stdout) as { state: string }).state, "expires soon");
    assert.equal((await coffer(["cert", "revoke", "keyholder", "vault"])).status, 0);
    const again = await refused(["cert", "renew", "keyholder", "vault"]);
    assert.equal(again.status, ExitStatus.certificateRevoked);
    assert.equal((await refused(["cert", "revoke", "client", "nobody"])).status, ExitStatus.unknownIdentity);
    const list = await coffer(["cert", "list", "--json"]);
    const states = list.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { role: string; name: string; state: string })
      .map(({ role, name, state }) => `${role} ${name} ${state}`);
    assert.deepEqual(states, ["relay home valid", "keyholder vault revoked", "client laptop valid"]);
    const text = (await coffer(["cert", "list"])).stdout;
    assert.match(text, /^ROLE +NAME +EXPIRES +STATE +SERIAL +HOSTS\nrelay +home +\d{4}-\d\d-\d\d +valid /);
  });

  it("devices: add, list, remove", async () => {
    const added = await coffer(["device", "add", "cam1"]);
    assert.equal(added.stdout, "added device cam1\n");
    assert.ok((await stat(join(home, "certs", "cam1", "device-key.der"))).isFile());
    assert.equal((await refused(["device", "add", "cam1"])).status, ExitStatus.alreadyExists);
    const quiet = await coffer(["device", "list", "--quiet"]);
    assert.match(
      quiet.stdout,
      /^NAME +ADDED +EXPIRES +CERTIFICATE\ncam1 +\d{4}-\d\d-\d\d +\d{4}-\d\d-\d\d +valid\n$/,
    );
    assert.equal((await coffer(["device", "remove", "cam1"])).stdout, "removed device cam1\n");
    assert.equal((await refused(["device", "remove", "cam1"])).status, ExitStatus.unknownDevice);
    assert.equal((await coffer(["device", "list", "--json"])).stdout, "");
  });

  describe("relay", () => {
    interface Running {
      child: ChildProcess;
      /** Waits for an event of the log and returns it. */
      event: (name: string) => Promise<Record<string, unknown>>;
      ended: Promise<number | null>;
    }

    function start(...words: string[]): Running {
      const child = spawn(process.execPath, [program, "relay", "--no-discovery", ...words], {
        env: { ...process.env, COFFER_HOME: home },
        stdio: ["ignore", "pipe", "inherit"],
      });
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      const event = async (name: string): Promise<Record<string, unknown>> => {
        for (;;) {
          const line = await lines.next();
          if (line.done === true) throw new Error(`the relay ended before it said ${name}`);
          const record = JSON.parse(line.value) as Record<string, unknown>;
          if (record.event === name) return record;
        }
      };
      return { child, event, ended: once(child, "exit").then(([code]) => code as number | null) };
    }

    it("listens, takes over a renewed certificate and a revocation, and stops in order", async () => {
      const { child, event, ended } = start("--listen", "127.0.0.1:0");
      const address = String((await event("listening")).remote);
      const taken = await refused(["relay", "--no-discovery", "--listen", address]);
      assert.equal(taken.status, ExitStatus.cannotListen);
      await coffer(["cert", "renew", "relay", "home", "--new-key"]);
      await event("reloaded");
      await coffer(["cert", "client", "stolen"]);
      await coffer(["cert", "revoke", "client", "stolen"]);
      await event("reloaded");
      child.kill("SIGTERM");
      await event("stopped");
      assert.equal(await ended, 0);
    });

    it("refuses an expired certificate, an unknown one, and a choice that is open", async () => {
      const state = new State(home);
      const twoDaysAgo = new Date(Date.now() - 2 * 86_400_000);
      await issue(state, { role: "relay", name: "old", hosts: ["127.0.0.1"], days: 1 }, twoDaysAgo);
      const listen = ["relay", "--no-discovery", "--listen", "127.0.0.1:0"];
      assert.equal((await refused(listen)).status, ExitStatus.usage);
      assert.equal((await refused([...listen, "--name", "old"])).status, ExitStatus.certificateExpired);
      assert.equal((await refused([...listen, "--name", "absent"])).status, ExitStatus.unknownIdentity);
      assert.equal((await refused([...listen, "--home", folder.path])).status, ExitStatus.unknownIdentity);
    });
  });

  it("node and sim refuse a device that is not paired, and a folder that is not there", async () => {
    await coffer(["device", "add", "attic"]);
    for (const words of [
      ["node", folder.path, "--as", "absent"],
      ["sim", "--card", folder.path, "--as", "absent"],
    ])
      assert.equal((await refused(words)).status, ExitStatus.unknownDevice);
    const missing = join(folder.path, "missing");
    for (const words of [
      ["node", missing, "--as", "attic"],
      ["sim", "--card", missing, "--as", "attic"],
    ])
      assert.equal((await refused(words)).status, ExitStatus.localPathNotFound);
    assert.equal((await refused(["node", program, "--as", "attic"])).status, ExitStatus.wrongKind);
  });

  it("--json makes a refusal one object", async () => {
    const { status, stdout, stderr } = await coffer(["device", "remove", "absent", "--json"]);
    assert.equal(status, ExitStatus.unknownDevice);
    assert.equal(stdout, "");
    const { error, kind, hint, ...rest } = JSON.parse(stderr) as Record<string, unknown>;
    assert.deepEqual({ kind, ...rest }, { kind: "unknownDevice", status });
    assert.ok(typeof error === "string" && typeof hint === "string");
  });

  it("doctor says of each thing how it is and what to do", async () => {
    const { stdout } = await coffer(["doctor", "--json"], { MODDABLE: join(folder.path, "absent") });
    const findings = new Map(
      stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as { name: string; state: string; remedy?: string })
        .map((finding) => [finding.name, finding]),
    );
    for (const name of ["Node", "npm", "TypeScript", "C compiler", "OpenSSL", "State folder", "Certificates"])
      assert.ok(findings.has(name), name);
    assert.equal(findings.get("Node")?.state, "ok");
    assert.equal(findings.get("State folder")?.state, "ok");
    assert.equal(findings.get("Relay")?.state, "warn");
    for (const { state, remedy } of findings.values()) assert.ok(state === "ok" || remedy !== undefined);
  });

  it("completion knows commands, options and choices", async () => {
    const complete = async (...words: string[]): Promise<string[]> =>
      (await coffer(["--get-yargs-completions", "coffer", ...words], { SHELL: "/bin/bash" })).stdout
        .trim()
        .split("\n");
    const commands = await complete("");
    for (const { command } of commandTable)
      assert.ok(commands.includes(command.split(" ")[0] ?? ""), command);
    assert.ok((await complete("cert", "")).includes("renew"));
    assert.ok((await complete("cert", "renew", "")).includes("keyholder"));
    assert.ok((await complete("init", "--re")).includes("--relay"));
    for (const shell of ["bash", "zsh", "fish"])
      assert.match((await coffer(["completion", shell])).stdout, /--get-yargs-completions/);
  });

  it("a reader that closes the pipe early ends it quietly", async () => {
    const command = `"${process.execPath}" "${program}" --help | head -1`;
    const { stdout, stderr } = await runFile("sh", ["-c", command]);
    assert.equal(stdout, "coffer COMMAND\n");
    assert.equal(stderr, "");
  });

  it("every exit status is distinct, below 126, and in docs/cli.md", async () => {
    const codes = Object.values(ExitStatus);
    assert.equal(new Set(codes).size, codes.length);
    assert.ok(codes.every((code) => code >= 0 && code < 126));
    const page = await readFile(join(root, "docs", "cli.md"), "utf8");
    const documented = [...page.matchAll(/^\| (\d+) \| `?(\w+)`? \|/gm)].map(
      ([, code, name]) => `${String(name)} ${String(code)}`,
    );
    assert.deepEqual(
      documented,
      Object.entries(ExitStatus).map(([name, code]) => `${name} ${String(code)}`),
    );
  });
});
