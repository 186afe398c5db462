// SPDX-License-Identifier: MIT
/** The certificates in real TLS connections, as the relay and its clients use them. */

import assert from "node:assert/strict";
import { type AddressInfo } from "node:net";
import {
  type ConnectionOptions,
  type SecureContextOptions,
  type SecureVersion,
  type TlsOptions,
  connect,
  createServer,
} from "node:tls";
import { type CertificateFixtures, certificateFixtures } from "../test/certificates";
import type { CertifiedKey } from "./certificate";
import { readCertificate } from "./certificate-facts";
import { makeRevocationList, revoke } from "./revocation-list";
import { identityFromAltName } from "./roles";

interface Outcome {
  /** Identity that each end saw of the other; undefined when the handshake failed. */
  client: string | undefined;
  server: string | undefined;
  error: string | undefined;
}

/** One connection: the server greets who is let in, the client waits for it. */
async function handshake(serverOptions: TlsOptions, clientOptions: ConnectionOptions): Promise<Outcome> {
  const outcome: Outcome = { client: undefined, server: undefined, error: undefined };
  const server = createServer({ requestCert: true, rejectUnauthorized: true, ...serverOptions }, (socket) => {
    outcome.client = nameOf(socket.getPeerCertificate().subjectaltname);
    socket.on("error", () => undefined);
    socket.end("hello");
  });
  let serverError: NodeJS.ErrnoException | undefined;
  server.on("tlsClientError", (error) => (serverError = error));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, ...clientOptions }, () => {
      outcome.server = nameOf(socket.getPeerCertificate().subjectaltname);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => (outcome.error ??= error.code ?? error.message));
    socket.on("close", () => {
      resolve();
    });
    socket.resume();
  });
  await new Promise((resolve) => server.close(resolve));
  if (serverError !== undefined) outcome.error = serverError.code ?? serverError.message;
  return outcome;
}

function nameOf(subjectAltName: string | undefined): string | undefined {
  const identity = identityFromAltName(subjectAltName);
  return identity && `${identity.role}:${identity.name}`;
}

for (const version of ["TLSv1.2", "TLSv1.3"] as const satisfies readonly SecureVersion[])
  describe(`handshake, ${version}`, () => {
    let made: CertificateFixtures;
    let deviceRevoked: string;
    before(async () => {
      made = await certificateFixtures();
      const serial = readCertificate(made.leafs.device.certificate).serial;
      const empty = await makeRevocationList(made.authorities.device, new Date());
      deviceRevoked = await revoke(empty, made.authorities.device, [serial], new Date());
    });

    const versions = { minVersion: version, maxVersion: version };
    const endOf = (
      leaf: CertifiedKey,
      authority: CertifiedKey,
      trusted: CertifiedKey,
    ): SecureContextOptions => ({
      key: leaf.key,
      cert: leaf.certificate + authority.certificate,
      ca: trusted.certificate,
    });
    const relay = (): SecureContextOptions =>
      endOf(made.leafs.relay, made.authorities.relay, made.authorities.device);
    const device = (): SecureContextOptions =>
      endOf(made.leafs.device, made.authorities.device, made.authorities.relay);
    const client = (): SecureContextOptions =>
      endOf(made.leafs.client, made.authorities.device, made.authorities.relay);

    it("relay and device, relay and client see each other's identity", async () => {
      for (const [end, name] of [
        [device(), "device:a-device"],
        [client(), "client:a-client"],
      ] as const)
        assert.deepEqual(await handshake(relay(), { ...end, ...versions }), {
          client: name,
          server: "relay:a-relay",
          error: undefined,
        });
    });

    it("the relay is reached by DNS name and by address, not by another name", async () => {
      for (const servername of ["localhost", "relay.example.org"])
        assert.equal((await handshake(relay(), { ...client(), ...versions, servername })).error, undefined);
      const other = await handshake(relay(), {
        ...client(),
        ...versions,
        servername: "elsewhere.example.org",
      });
      assert.equal(other.error, "ERR_TLS_CERT_ALTNAME_INVALID");
    });

    it("no client certificate, no connection", async () => {
      const ca = made.authorities.relay.certificate;
      const outcome = await handshake(relay(), { ca, ...versions });
      assert.equal(outcome.client, undefined);
      assert.equal(outcome.error, "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE");
    });

    it("a certificate of the relay authority is none for a client", async () => {
      const end = endOf(made.leafs.relay, made.authorities.relay, made.authorities.relay);
      const outcome = await handshake(relay(), { ...end, ...versions });
      assert.equal(outcome.client, undefined);
      assert.notEqual(outcome.error, undefined);
    });

    it("a device posing as the relay is refused", async () => {
      const impostor = endOf(made.leafs.device, made.authorities.device, made.authorities.device);
      const outcome = await handshake(impostor, { ...client(), ...versions });
      assert.equal(outcome.server, undefined);
      assert.notEqual(outcome.error, undefined);
    });

    it("a revoked device is refused while others pass, with one list for both", async () => {
      const server = { ...relay(), crl: deviceRevoked };
      assert.equal((await handshake(server, { ...client(), ...versions })).client, "client:a-client");
      const outcome = await handshake(server, { ...device(), ...versions });
      assert.equal(outcome.client, undefined);
      assert.notEqual(outcome.error, undefined);
    });

    it("a client knows a revoked relay by the list, too", async () => {
      const serial = readCertificate(made.leafs.relay.certificate).serial;
      const empty = await makeRevocationList(made.authorities.relay, new Date());
      const crl = await revoke(empty, made.authorities.relay, [serial], new Date());
      assert.equal((await handshake(relay(), { ...client(), ...versions, crl: empty })).error, undefined);
      assert.equal((await handshake(relay(), { ...client(), ...versions, crl })).error, "CERT_REVOKED");
    });
  });
