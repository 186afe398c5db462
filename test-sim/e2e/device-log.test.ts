// SPDX-License-Identifier: MIT
/** `coffer device log` and what `coffer status` tells of a device's starts, with the real relay and real devices. */
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ExitStatus } from "../../host-tools/exit-status";
import { World } from "./world";

interface Line {
  start: number;
  sequence: number;
  uptimeMs: number;
  time?: string;
  level: string;
  text: string;
  repeats: number;
}

interface DeviceLine {
  kind: string;
  name: string;
  bootCount?: number;
  resetReason?: string;
  exceptions?: number;
  isSafe?: boolean;
}

for (const host of ["node", "board"] as const)
  describe(`the log of a device, the firmware on ${host === "node" ? "Node" : "the XS board"}`, function () {
    this.timeout(120_000);
    let world: World;

    before(async () => {
      world = await World.create();
      await world.startRelay();
      if (host === "node") await world.startNode("cam1");
      else await world.startBoard("cam1");
    });
    after(() => world.close());

    it("tells why it started, its card and its connection, for people and for scripts", async () => {
      const text = await world.succeed(["device", "log", "cam1"]);
      match(text, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}info {2}device cam1 .*, start 1 \(/);
      match(text, /info {2}card: ready$/m);
      const lines = await world.json<Line>(["device", "log", "cam1"]);
      deepEqual(
        lines.map(({ sequence }) => sequence),
        lines.map((_, i) => i),
      );
      ok(lines.every(({ start, time }) => start === 1 && time !== undefined));
      match(lines.find(({ text: said }) => said.startsWith("uplink"))?.text ?? "", /^uplink: online at /);
    });

    it("goes on until it is told to stop, with --follow", async () => {
      const follower = world.spawn(["device", "log", "cam1", "--follow", "--json"]);
      await follower.until("the first lines", () => follower.stdout.includes("card: ready"));
      const wrong = await world.coffer(["device", "log", "cam1", "--nonsense"]);
      equal(wrong.status, ExitStatus.usage);
      equal(await follower.kill("SIGINT"), ExitStatus.ok);
      equal(follower.stderr, "");
    });

    it("shows in the status how often and why it started", async () => {
      const records = await world.json<DeviceLine>(["status", "--device", "cam1"]);
      const device = records.find(({ kind }) => kind === "device");
      equal(device?.bootCount, 1);
      equal(device.resetReason, host === "node" ? "software" : "powerOn");
      deepEqual([device.exceptions, device.isSafe], [0, false]);
      match(await world.succeed(["status", "--device", "cam1"]), /STARTS[^]*1, (restarted|power on)/);
    });

    it("holds no key and no pairing secret", async () => {
      const told = await world.succeed(["device", "log", "cam1", "--json"]);
      const secrets = await secretsOf(world.home);
      ok(secrets.length >= 8, "too few secrets were found to look for");
      for (const secret of secrets) ok(!told.includes(secret), "a secret is in the log");
    });

    it("refuses a device that is not paired, and one that is not there", async () => {
      equal((await world.coffer(["device", "log", "absent"])).status, ExitStatus.unknownDevice);
      equal((await world.coffer(["device", "log", "cam2"])).status, ExitStatus.deviceOffline);
    });
  });

describe("a device whose firmware failed", function () {
  this.timeout(120_000);
  let world: World;

  before(async () => {
    world = await World.create();
    await world.startRelay();
  });
  after(() => world.close());

  it("ends with a status of its own, and tells of it when it is there again", async () => {
    const folder = world.path("card-cam1");
    await mkdir(folder);
    const script = "setTimeout(() => { throw new TypeError('a fault for tests') }, 3000)";
    const failing = world.spawn(["node", folder, "--as", "cam1"], {
      environment: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}` },
    });
    const { status, stderr } = await failing.finished();
    equal(status, ExitStatus.firmwareException, stderr);
    match(stderr, /error: the firmware of cam1 ended by an exception: TypeError: a fault for tests/);
    match(stderr, /hint: /);
    const node = await world.startNode("cam1", folder);
    const records = await world.json<DeviceLine>(["status", "--device", "cam1"]);
    const device = records.find(({ kind }) => kind === "device");
    deepEqual([device?.resetReason, device?.exceptions, device?.isSafe], ["exception", 1, false]);
    match(
      (await world.coffer(["status"])).stderr,
      /^cam1: 1 uncaught exception and 0 watchdog resets so far; the last kept one ended start 1: TypeError/m,
    );
    match(await world.succeed(["device", "log", "cam1"]), /warn {2}start 1 ended with: TypeError: a fault/);
    await node.kill("SIGTERM");
  });

  it("is in safe mode after five such starts: the status says so, why, and what to do", async () => {
    const folder = world.path("card-cam2");
    await mkdir(folder);
    const kept = {
      boots: Buffer.from([0, 0, 0, 40, 0, 0, 0, 9, 0, 0, 0, 0, 5]).toString("base64"),
      exception: Buffer.from("\0\0\0\x28TypeError: broken").toString("base64"),
    };
    await writeFile(join(folder, "preferences.json"), JSON.stringify(kept));
    await world.startNode("cam2", folder);
    const shown = await world.coffer(["status", "--device", "cam2"]);
    equal(shown.status, ExitStatus.deviceInSafeMode);
    match(shown.stdout, /^cam2 +safe mode +/m);
    match(shown.stderr, /cam2 is in safe mode after 5 starts that failed: .*TypeError: broken/);
    match(shown.stderr, /switch it off and on/);
    match(await world.succeed(["device", "log", "cam2"]), /warn {2}safe mode: 5 starts in a row failed/);
    const refused = await world.coffer(["ls", "--device", "cam2"]);
    equal(refused.status, ExitStatus.deviceInSafeMode, refused.stderr);
    deepEqual(await readdir(join(folder, "card")), []);
  });
});

/** Pieces of every key and secret below a folder, as they would read in a text. */
async function secretsOf(folder: string): Promise<string[]> {
  const secrets: string[] = [];
  for (const file of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const bytes = await readFile(join(file.parentPath, file.name));
    const text = bytes.toString("utf8");
    if (text.includes("PRIVATE KEY"))
      secrets.push(...text.split("\n").filter((line) => line.length === 64 && !line.includes("-----")));
    for (const [, secret = ""] of text.matchAll(/"pairingSecret":\s*"([^"]+)"/g))
      secrets.push(secret, Buffer.from(secret, "hex").toString("base64"));
  }
  return secrets.filter((secret) => secret.length >= 16).map((secret) => secret.slice(0, 20));
}
