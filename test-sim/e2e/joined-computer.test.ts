// SPDX-License-Identifier: MIT
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import type { CofferProcess, Finished } from "./coffer-process";
import { requireRefused } from "./refused";
import { type DeviceName, World } from "./world";

describe("a second computer, joined by a code", function () {
  this.timeout(60_000);
  let world: World;
  let second: string;

  before(async () => {
    world = await World.create();
    second = world.path("second");
    await world.startRelay();
    await Promise.all([world.startNode("cam1"), world.startNode("cam2")]);
  });
  after(() => world.close());

  const on = (...names: DeviceName[]): string[] => ["--device", ...names];

  async function add(name: string): Promise<{ adding: CofferProcess; code: string }> {
    const adding = world.spawn(["client", "add", name, "--listen", "127.0.0.1:0", "--json"]);
    await adding.until("a code", () => adding.stdout.includes("\n"));
    return { adding, code: (JSON.parse(adding.stdout.split("\n")[0] ?? "") as { code: string }).code };
  }

  const join = (code: string, home: string, environment: NodeJS.ProcessEnv = {}): Promise<Finished> =>
    world.coffer(["init", "--join", code], { home, environment });

  async function pushAs(
    home: string,
    path: string,
    text: string,
    ...devices: DeviceName[]
  ): Promise<Finished> {
    const source = world.path("sources", home.replaceAll("/", "-"), path);
    await mkdir(source.slice(0, source.lastIndexOf("/")), { recursive: true });
    await writeFile(source, text);
    return world.coffer(["push", source, ...on(...devices)], { home });
  }

  it("gets all it needs, keeps what it got when the passphrase is wrong, and needs no file copied", async () => {
    await world.succeed(["mkdir", "from-first", ...on("cam1", "cam2")]);
    const { adding, code } = await add("second");
    const joined = await join(code, second, { COFFER_PASSPHRASE: "a wrong one" });
    equal(joined.status, 5, joined.stderr);
    match(joined.stderr, /is set up, but the passphrase does not open/);
    equal((await adding.finished()).status, 0);
    const [name] = await world.json<{ name: string }>(["ls", ...on("cam1")], { home: second });
    equal(name?.name, "from-first");
    ok(!(await readdir(`${second}/authorities/device`)).includes("key.pem"));
    const clients = await world.json<{ name: string; certificate: string }>(["client", "list"]);
    deepEqual(
      clients.map((client) => [client.name, client.certificate]),
      [
        ["laptop", "valid"],
        ["second", "valid"],
      ],
    );
    deepEqual((await world.json<{ name: string }>(["device", "list"], { home: second })).length, 2);
    requireRefused(await join(code, world.path("third")), "enrolmentFailed", /nobody waits/);
    requireRefused(
      await join(`${code.slice(0, -1)}U`, world.path("third")),
      "usage",
      /not typed as it was shown/,
    );
    requireRefused(await join(code, second), "alreadyExists", /already is a Coffer/);
    requireRefused(await world.coffer(["client", "add", "second"]), "alreadyExists", /second/);
    requireRefused(
      await world.coffer(["client", "add", "x"], { home: second }),
      "notInitialised",
      /authority/,
    );
    requireRefused(await world.coffer(["init"], { home: world.path("third") }), "usage", /--join/);
  });

  it("pushes at the same time as the first, and both succeed", async () => {
    const pushes = await Promise.all([
      pushAs(world.home, "one", "1", "cam1"),
      pushAs(second, "two", "2", "cam1"),
    ]);
    deepEqual(
      pushes.map(({ status, stderr }) => [status, stderr]),
      [
        [0, ""],
        [0, ""],
      ],
    );
  });

  it("keeps both of two edits that had not seen each other, and both computers see the same", async () => {
    equal((await pushAs(world.home, "notes.txt", "first's", "cam1")).status, 0);
    equal((await pushAs(second, "notes.txt", "second's", "cam2")).status, 0);
    const list = (home: string): Promise<string> =>
      world.succeed(["ls", "-l", "-R", "/", ...on("cam1", "cam2")], { home });
    const [one, two] = [await list(world.home), await list(second)];
    equal(one, two);
    match(one, /notes \(conflict from (laptop|second), \d{4}-\d\d-\d\d\)\.txt/);
    match(one, / notes\.txt/);
    const names = await world.json<{ name: string }>(["ls", ...on("cam1", "cam2")]);
    equal(names.filter(({ name }) => name.startsWith("notes")).length, 2);
  });

  it("is out once it is revoked, and its name is free again", async () => {
    await world.succeed(["client", "revoke", "second", ...on("cam1", "cam2")]);
    const refused = await pushAs(second, "late", "x", "cam1");
    requireRefused(refused, "certificateRevoked", /refuses this computer/);
    requireRefused(await world.coffer(["client", "revoke", "laptop"]), "usage", /this computer/);
    requireRefused(await world.coffer(["client", "revoke", "nobody"]), "unknownIdentity", /nobody/);
    const { adding, code } = await add("second");
    equal((await join(code, world.path("again"))).status, 0);
    equal((await adding.finished()).status, 0);
    equal((await pushAs(world.path("again"), "back", "x", "cam1")).status, 0);
  });
});
