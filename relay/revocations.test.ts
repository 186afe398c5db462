// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { DataError } from "../firmware/protocol/data-error";
import { readRevocations, revocationKey } from "./revocations";
import { TestAuthority } from "./test-authority";

describe("relay: revocations", () => {
  const authority = new TestAuthority("device");
  const certificate = new X509Certificate(authority.certificate);
  const list = authority.revoke(["00ff01", "40aa"]);

  it("names every revoked serial, leading zeros or not", () => {
    const revoked = readRevocations(list, [certificate]);
    for (const serial of ["ff01", "FF01", "00FF01", "40aa"])
      assert.ok(revoked.has(revocationKey(certificate, serial)));
    assert.equal(revoked.size, 2);
  });

  it("can be empty, or several in one file", () => {
    const other = new TestAuthority("relay");
    const both = [certificate, new X509Certificate(other.certificate)];
    assert.equal(readRevocations(authority.revoke([]), both).size, 0);
    const revoked = readRevocations(list + other.revoke(["07"]), both);
    assert.equal(revoked.size, 3);
    assert.equal(revoked.has(revocationKey(certificate, "07")), false);
  });

  it("refuse a list of another authority, and a file without one", () => {
    const foreign = new X509Certificate(new TestAuthority("foreign").certificate);
    assert.throws(() => readRevocations(list, [foreign]), DataError);
    assert.throws(() => readRevocations(authority.certificate, [certificate]), /no X509 CRL/);
  });

  it("refuse a list with any bit changed or any byte missing", () => {
    const der = Buffer.from(list.replace(/-----.*-----/g, ""), "base64");
    const pem = (bytes: Buffer): string =>
      `-----BEGIN X509 CRL-----\n${bytes.toString("base64")}\n-----END X509 CRL-----\n`;
    assert.equal(readRevocations(pem(der), [certificate]).size, 2);
    for (let at = 0; at < der.length; at++) {
      const changed = Buffer.from(der);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      // The algorithm is named once more outside what is signed, and not read there.
      const isRead = at < der.length - 256 - 5 - 15 || at >= der.length - 256;
      if (isRead) assert.throws(() => readRevocations(pem(changed), [certificate]), `byte ${String(at)}`);
      assert.throws(() => readRevocations(pem(der.subarray(0, at)), [certificate]), `${String(at)} bytes`);
    }
  });
});
