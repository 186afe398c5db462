// SPDX-License-Identifier: MIT
/** What the host node adds to the ports, which have their own conformance suite: the lock, and a whole node. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";
import type { AddressInfo } from "node:net";
import { StorageError } from "../../firmware/core/io";
import { FolderFile } from "../../firmware/platform/node/folder-file";
import { FolderStorage } from "../../firmware/platform/node/folder-storage";
import { LockedError, takeLock } from "../../firmware/platform/node/lock-file";
import { FirmwareException, runNode } from "../../firmware/platform/node/main";
import type { NodeOptions } from "../../firmware/platform/node/main";
import { WriteBehind } from "../../firmware/platform/node/write-behind";
import { SLOTS } from "../../firmware/platform/node/write-behind-slots";
import { FrameType, encodeFrame } from "../../firmware/protocol/frame";
import { MAX_FRAME_BYTES } from "../../firmware/protocol/limits";
import { welcome } from "../../firmware/protocol/link-messages";
import { encode } from "../../firmware/protocol/message";
import { certificateFixtures, playedRelay } from "../../host-tools/test/certificates";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "coffer-node-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

describe("lock file", () => {
  it("is held by one, given back, and taken again", () => {
    const path = join(folder, "lock");
    const unlock = takeLock(path);
    assert.throws(() => takeLock(path), LockedError);
    unlock();
    takeLock(path)();
  });

  it("of a process that is gone is taken over", () => {
    const path = join(folder, "lock");
    const gone = spawnSync(process.execPath, ["-e", ""]).pid;
    for (const stale of [`${String(gone)} 1\n`, `${String(gone)} \n`, "nonsense", ""]) {
      writeFileSync(path, stale);
      const unlock = takeLock(path);
      assert.match(readFileSync(path, "utf8"), new RegExp(`^${String(process.pid)} `));
      unlock();
    }
  });

  it("of an earlier process with the same number is taken over", function () {
    if (process.platform !== "linux") this.skip();
    const path = join(folder, "lock");
    writeFileSync(path, `${String(process.pid)} 1\n`);
    takeLock(path)();
  });
});

describe("writing behind", () => {
  const piece = new Uint8Array(64 * 1024).fill(7);

  function open(flags: string, behind: WriteBehind): FolderFile {
    const path = join(folder, "file");
    writeFileSync(path, new Uint8Array(4 * piece.length));
    const options = {
      behind,
      freeBytes: () => 1e9,
      syncNames: (done: () => void) => {
        process.nextTick(done);
      },
    };
    return new FolderFile({ fd: openSync(path, flags), sizeBytes: 4 * piece.length, ...options });
  }

  const flush = (file: FolderFile): Promise<StorageError | undefined> =>
    new Promise((resolve) => {
      file.flush(resolve);
    });

  it("keeps the order of more writes than it has slots, and reads what was written", async () => {
    const file = open("r+", new WriteBehind());
    for (let i = 0; i < 5 * SLOTS; i++)
      file.write(
        piece.map(() => i),
        0,
      );
    // small, and after the large ones
    file.write(Uint8Array.of(99), 1);
    const into = new Uint8Array(3);
    file.read(into, 0);
    assert.deepEqual([...into], [5 * SLOTS - 1, 99, 5 * SLOTS - 1]);
    for (let i = 0; i < 3; i++) file.write(piece, i * piece.length);
    assert.equal(await flush(file), undefined);
    file.close();
    assert.deepEqual(readFileSync(join(folder, "file")).subarray(0, piece.length), Buffer.from(piece));
  });

  it("writes nothing after a write that failed, and says so in the flush", async () => {
    const behind = new WriteBehind();
    const good = open("r+", behind);
    const file = open("r", behind); // cannot be written: the system refuses
    file.write(piece, 0);
    assert.ok((await flush(file)) instanceof StorageError);
    assert.throws(() => {
      file.write(piece, 0);
    }, StorageError);
    assert.throws(() => {
      file.read(new Uint8Array(1), 0);
    }, StorageError);
    file.close();
    good.write(piece, 0);
    assert.equal(await flush(good), undefined);
    good.close();
  });
});

describe("folder storage", () => {
  it("says that there is no card when its folder has gone", () => {
    const root = join(folder, "card");
    mkdirSync(root);
    const storage = new FolderStorage({ root });
    rmSync(root, { recursive: true });
    assert.throws(
      () => storage.openFile("card", "read"),
      (error) => error instanceof StorageError && error.code === "noCard",
    );
  });

  it("refuses what cannot fit before a byte is written", () => {
    const storage = new FolderStorage({ root: folder });
    const file = storage.openFile("big", "create");
    const { freeBytes } = storage.space();
    assert.throws(
      () => {
        file.allocate(freeBytes * 2 + 2 ** 30);
      },
      (error) => error instanceof StorageError && error.code === "full",
    );
    assert.equal(file.sizeBytes, 0);
    file.close();
  });
});

async function optionsFor(stop: AbortController, port = 1): Promise<NodeOptions & { states: string[] }> {
  const { authorities, leafs } = await certificateFixtures();
  const states: string[] = [];
  return {
    folder,
    name: "a-device",
    identity: {
      keyPem: leafs.device.key,
      certificatePem: leafs.device.certificate + authorities.device.certificate,
      relayAuthorityPem: authorities.relay.certificate,
    },
    pairingSecrets: [new Uint8Array(32).fill(7)],
    relay: { host: "127.0.0.1", port },
    log: () => undefined,
    signal: stop.signal,
    onState: (state) => states.push(state),
    states,
  };
}

describe("host node", () => {
  it("serves one folder once", async () => {
    const stop = new AbortController();
    const options = await optionsFor(stop);
    const first = runNode(options);
    await assert.rejects(runNode(options), LockedError);
    stop.abort();
    await first;
    const again = new AbortController();
    again.abort();
    await runNode({ ...options, signal: again.signal });
  });

  it("goes online over mutual TLS, and ends when it is told to", async () => {
    const relay = createServer(await playedRelay(), (socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => {
        const message = {
          version: 1,
          maxFrameBytes: MAX_FRAME_BYTES,
          heartbeatSeconds: 20,
          unixMs: 0,
          relay: "a-relay",
        };
        socket.write(encodeFrame(FrameType.welcome, 0, encode(welcome, message)));
      });
    });
    await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
    const stop = new AbortController();
    const options = await optionsFor(stop, (relay.address() as AddressInfo).port);
    const done = runNode({
      ...options,
      onState: (state) => {
        options.states.push(state);
        if (state === "online") stop.abort();
      },
    });
    await done;
    assert.deepEqual(options.states, ["online", "offline"]);
    await new Promise((resolve) => relay.close(resolve));
  });

  it("ends by what nobody caught, gives its folder back, and tells of it at its next start", async () => {
    for (const [reason, count] of [
      ["software", 1],
      ["exception", 2],
    ] as const) {
      const stop = new AbortController();
      const lines: string[] = [];
      const options = await optionsFor(stop, 1);
      let isWatched = false;
      const running = runNode({
        ...options,
        log: (line) => lines.push(line),
        watchUncaught: (onUncaught) => {
          isWatched = true;
          setTimeout(() => {
            onUncaught(new TypeError("a fault for tests"));
          }, 50);
          return () => {
            isWatched = false;
          };
        },
      });
      await assert.rejects(
        running,
        (error) => error instanceof FirmwareException && /a fault/.test(error.message),
      );
      assert.equal(isWatched, false);
      assert.match(lines[0] ?? "", new RegExp(`start ${String(count)} \\(${reason}\\)`));
      assert.match(lines.at(-1) ?? "", /^warn: uncaught: TypeError: a fault for tests/);
    }
  });
});
