// SPDX-License-Identifier: MIT
import { equal, match } from "node:assert/strict";
import { chmod, readFile, stat, writeFile } from "node:fs/promises";
import { World, passphrase } from "./world";

interface KeyRecord {
  id: string;
  kind: string;
  label: string;
}

describe("keys, through all processes", function () {
  this.timeout(120_000);
  let world: World;

  before(async () => {
    world = await World.create();
    await world.startRelay();
    await world.startNode("cam1");
    await writeFile(world.path("letter.txt"), "before");
    await world.succeed(["push", world.path("letter.txt"), "--device", "cam1"]);
  });

  after(() => world.close());

  it("adds, lists and removes keys; a recovery sheet opens a fresh computer, and a removed passphrase nothing new", async () => {
    const at = ["--device", "cam1"];
    await writeFile(world.path("second"), "a second passphrase\n", { mode: 0o600 });
    await world.succeed([
      "key",
      "add",
      "--label",
      "desk",
      "--new-passphrase-file",
      world.path("second"),
      ...at,
    ]);
    await world.succeed(["key", "add", "--new-keyfile", world.path("stick"), ...at]);
    await world.succeed(["key", "add", "--recovery", "--to", world.path("sheet.txt"), ...at]);
    equal((await stat(world.path("sheet.txt"))).mode & 0o777, 0o600);
    const listed = await world.json<KeyRecord>(["key", "list", ...at]);
    equal(listed.map(({ kind }) => kind).join(" "), "passphrase passphrase keyfile recovery");

    const home = await world.secondComputer("fresh");
    const sheet = await readFile(world.path("sheet.txt"), "utf8");
    const code = (/CFR1(?:[\s-]+[0-9A-Z]{5}){8}/.exec(sheet)?.[0] ?? "").replaceAll(/\s+/g, " ");
    const environment = { COFFER_PASSPHRASE: code };
    match(await world.succeed(["ls", ...at], { home, environment }), /letter\.txt/);
    const slip = await world.coffer(["ls", ...at], {
      home,
      environment: { COFFER_PASSPHRASE: code.replace(/.$/, (last) => (last === "7" ? "8" : "7")) },
    });
    equal(slip.status, 5);
    match(slip.stderr, /group 8 of the recovery code is mistyped/);
    const byFile = { home: await world.secondComputer("by-file"), environment: { COFFER_PASSPHRASE: "" } };
    match(await world.succeed(["ls", "--keyfile", world.path("stick"), ...at], byFile), /letter\.txt/);
    await chmod(world.path("stick"), 0o644);
    equal((await world.coffer(["ls", "--keyfile", world.path("stick"), ...at], byFile)).status, 62);

    const stolen = await world.secondComputer("stolen");
    const thief = { home: stolen, environment: { COFFER_PASSPHRASE: "a second passphrase" } };
    match(await world.succeed(["ls", ...at], thief), /letter\.txt/);
    match(await world.succeed(["key", "remove", "desk", ...at]), /removed key [0-9a-f]{16}/);
    await writeFile(world.path("news.txt"), "after");
    await world.succeed(["push", world.path("news.txt"), ...at]);
    const refused = await world.coffer(["ls", ...at], thief);
    equal(refused.status, 5);
    match(refused.stderr, /this key was removed from the repository/);
    match(await world.succeed(["ls", ...at], { home, environment }), /news\.txt/);
    match(
      await world.succeed(["ls", ...at], { home, environment: { COFFER_PASSPHRASE: passphrase } }),
      /news\.txt/,
    );
    equal((await world.coffer(["key", "keychain", "off", ...at])).status, 14);
  });
});
