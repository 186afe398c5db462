// SPDX-License-Identifier: MIT
import { cp, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { loadAuthority } from "../../host-tools/certs/authorities";
import { makeLeaf } from "../../host-tools/certs/certificate";
import { type Role, authorityOf } from "../../host-tools/certs/roles";
import { freePort } from "../../host-tools/demo/free-port";
import type { ExitStatusName } from "../../host-tools/exit-status";
import { State } from "../../host-tools/state";
import { requireRefused, requireRefusedJson } from "./refused";
import { World } from "./world";

const dayMs = 86_400_000;

/** Replaces an identity by one that was valid from `daysAgo` for `days`. */
async function replaceIdentity(
  home: string,
  role: Role,
  name: string,
  daysAgo: number,
  days: number,
): Promise<void> {
  const state = new State(home);
  const authority = await loadAuthority(state, authorityOf(role));
  const hosts = role === "relay" ? ["localhost", "127.0.0.1"] : [];
  const made = await makeLeaf(authority, { role, name, hosts, days }, new Date(Date.now() - daysAgo * dayMs));
  await state.saveIdentity(role, name, { ...made, authority: authority.certificate });
}

describe("certificates that must not be accepted", function () {
  this.timeout(60_000);
  let world: World;
  let stranger: World;

  before(async () => {
    world = await World.create();
    // Another Coffer, with authorities of its own, that dials the same relay.
    stranger = await World.create();
    await rm(stranger.home, { recursive: true });
    const address = `127.0.0.1:${String(world.port)}`;
    await stranger.succeed(["init", "--relay", address, "--client-name", "laptop", "--relay-name", "relay"]);
    await stranger.succeed(["device", "add", "cam1", "--certs", stranger.path("certs")]);
    await world.startRelay();
    await world.startNode("cam1");
  });
  after(async () => {
    await world.close();
    await stranger.close();
  });

  const words = ["status", "--device", "cam1"];

  /** A state folder spoiled by `change`; the relay and the device stay as they are. */
  async function spoiled(name: string, change: (home: string) => Promise<void>): Promise<string> {
    const home = await world.copyHome(name);
    await change(home);
    return home;
  }

  const clients: readonly (readonly [string, (home: string) => Promise<void>, ExitStatusName, RegExp])[] = [
    [
      "expired",
      (home) => replaceIdentity(home, "client", "laptop", 400, 30),
      "certificateExpired",
      /expired/,
    ],
    [
      "a device's",
      async (home) => {
        await rm(join(home, "identities/client/laptop"), { recursive: true });
        await cp(join(home, "identities/device/cam1"), join(home, "identities/client/laptop"), {
          recursive: true,
        });
      },
      "wrongRole",
      /role/,
    ],
    [
      "of another Coffer",
      async (home) => {
        await cp(join(stranger.home, "identities/client"), join(home, "identities/client"), {
          recursive: true,
          force: true,
        });
      },
      "certificateForeign",
      /relay .* this computer's certificate/,
    ],
    [
      "missing",
      (home) => rm(join(home, "identities/client/laptop"), { recursive: true }),
      "unknownIdentity",
      /no client certificate/,
    ],
  ];
  for (const [what, change, kind, sentence] of clients)
    it(`a client's certificate that is ${what}`, async () => {
      const home = await spoiled(`client-${what.replaceAll(/\W/g, "-")}`, change);
      const finished = await world.coffer(words, { home });
      requireRefused(finished, kind, sentence);
      requireRefusedJson(await world.coffer([...words, "--json"], { home }), kind);
    });

  it("a client of another Coffer altogether", async () => {
    requireRefused(await stranger.coffer(words), "certificateForeign", /authority/);
  });

  const relays: readonly (readonly [string, (home: string) => Promise<void>, ExitStatusName, RegExp])[] = [
    [
      "of another Coffer",
      async (home) => {
        await cp(stranger.home, home, { recursive: true, force: true });
        await cp(join(world.home, "authorities/device"), join(home, "authorities/device"), {
          recursive: true,
          force: true,
        });
        await rm(join(home, "crl"), { recursive: true });
      },
      "certificateForeign",
      /authority/,
    ],
  ];
  for (const [what, change, kind, sentence] of relays)
    it(`a relay whose certificate is ${what}`, async () => {
      const port = await freePort();
      const relayHome = await spoiled(`relay-${what.replaceAll(/\W/g, "-")}`, change);
      const relay = world.spawn(["relay", "--no-discovery", "--listen", `127.0.0.1:${String(port)}`], {
        home: relayHome,
      });
      await relay.until("listening", () => world.isListening(port));
      const home = await world.homeThrough(`dials-${what.replaceAll(/\W/g, "-")}`, port);
      requireRefused(await world.coffer(words, { home }), kind, sentence);
      await relay.kill();
    });

  it("an expired certificate does not even start a relay", async () => {
    const home = await spoiled("expired-relay", (folder) =>
      replaceIdentity(folder, "relay", "relay", 900, 30),
    );
    const finished = await world.coffer(["relay", "--listen", "127.0.0.1:0", "--no-discovery"], { home });
    requireRefused(finished, "certificateExpired", /expired/);
  });

  it("a revoked client is refused at once, without a restart of the relay", async () => {
    const other = await World.create();
    try {
      await other.startRelay();
      await other.startNode("cam1");
      await other.succeed(words);
      await other.succeed(["cert", "revoke", "client", "laptop"]);
      let finished = await other.coffer(words);
      // Until the relay has looked, it lets the command in, or in once and then no more.
      for (let tries = 0; finished.stdout !== "" && tries < 10; tries += 1)
        finished = await other.coffer(words);
      requireRefused(finished, "certificateRevoked", /refuses this computer's certificate/);
    } finally {
      await other.close();
    }
  });

  it("a removed device is thrown out and does not come back", async () => {
    const other = await World.create();
    try {
      await other.startRelay();
      await mkdir(other.path("card"), { recursive: true });
      const identity = await other.copyHome("device-home");
      const node = other.spawn(["node", other.path("card"), "--as", "cam1"], { home: identity });
      await node.until("online", () => other.isOnline("cam1"));
      await other.succeed(["device", "remove", "cam1"]);
      const endMs = Date.now() + 10_000;
      while (await other.isOnline("cam1")) if (Date.now() > endMs) throw new Error("it is still there");
      requireRefused(await other.coffer(words), "unknownDevice", /no device named cam1/);
    } finally {
      await other.close();
    }
  });
});
