// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { Scratch } from "./testing/scratch";
import { Writer } from "./testing/writers";

describe("a revoked writer", () => {
  let scratch: Scratch;
  let owner: Writer;
  let thief: Writer;
  let other: Writer;

  beforeEach(async () => {
    scratch = new Scratch();
    await scratch.create();
    [owner, thief, other] = (await Writer.group(scratch, ["owner", "thief", "other"])) as [
      Writer,
      Writer,
      Writer,
    ];
    await thief.write("/before", "while it was trusted");
    await owner.learn(thief);
    await other.learn(owner);
  });
  afterEach(async () => {
    await scratch.remove();
  });

  const paths = async (writer: Writer): Promise<string[]> => Object.keys(await writer.tree());

  it("keeps what counted, and nothing counts that it writes later", async () => {
    assert.equal(await owner.repository.revokeWriter("thief"), 1);
    await thief.write("/after", "behind the owner's back");
    await thief.repository.remove("/before");
    await owner.learn(thief);
    assert.deepEqual(await paths(owner), ["/before"]);
    await other.learn(thief);
    assert.deepEqual(await paths(other), ["/after"], "who has not heard of it believes it still");
    await other.learn(owner);
    assert.deepEqual(await other.listing(), await owner.listing());
    const newcomer = await Writer.make(scratch, "newcomer", other);
    assert.deepEqual(await newcomer.listing(), await owner.listing());
    assert.ok(scratch.warnings.some((text) => /thief was revoked and wrote 2 more/.test(text)));
    await newcomer.write("/on", "the others go on");
    await owner.learn(newcomer);
    assert.deepEqual(await paths(owner), ["/before", "/on"]);
  });

  it("is refused as soon as it learns of it", async () => {
    await owner.repository.revokeWriter("thief");
    await thief.learn(owner);
    await assert.rejects(thief.write("/after", "x"), { kind: "certificateRevoked" });
    await assert.rejects(thief.repository.revokeWriter("owner"), { kind: "certificateRevoked" });
  });

  it("cannot revoke others by an entry that does not count", async () => {
    await owner.repository.revokeWriter("thief");
    await thief.write("/catch/up", "so that its entry is later than the owner's");
    await thief.repository.revokeWriter("owner");
    await owner.learn(thief);
    await owner.write("/still", "here");
    assert.deepEqual(await paths(owner), ["/before", "/still"]);
    const newcomer = await Writer.make(scratch, "newcomer", owner);
    assert.deepEqual(await newcomer.listing(), await owner.listing());
  });

  it("stops nobody with a log that does not verify beyond what counts", async () => {
    const known = new Set(owner.device.logs.keys());
    const late = await Writer.make(scratch, "late", owner);
    await late.write("/late", "of one that is revoked at once");
    await owner.learn(late);
    const [log = ""] = [...owner.device.logs.keys()].filter((key) => !known.has(key));
    await owner.repository.revokeWriter("late");
    owner.device.logs.get(log)?.entries.push(Buffer.alloc(100, 7));
    const newcomer = await Writer.make(scratch, "newcomer", owner);
    assert.deepEqual(await paths(newcomer), ["/before", "/late"]);
    await owner.repository.refresh();
    assert.deepEqual(await newcomer.listing(), await owner.listing());
    // Without the revocation such a log is refused, and so is one that lacks what counts.
    const [other = ""] = [...known].filter((key) => (owner.device.logs.get(key)?.entries.length ?? 0) > 1);
    owner.device.logs.get(other)?.entries.push(Buffer.alloc(100, 1));
    await assert.rejects(Writer.make(scratch, "deceived", owner), { kind: "logTampered" });
  });
});
