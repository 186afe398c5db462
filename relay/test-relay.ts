// SPDX-License-Identifier: MIT
/** A running relay with its files in a temporary folder, for tests. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import { type RelayOptions, runRelay } from "./main";
import { TestAuthority, type TestIdentity } from "./test-authority";
import { TestEndpoint } from "./test-endpoint";

export type LogLine = Record<string, string | number>;

export class TestRelay {
  static readonly relayAuthority = new TestAuthority("relay");
  static readonly deviceAuthority = new TestAuthority("device");
  static readonly #relayIdentity = TestRelay.relayAuthority.issue({
    uris: ["coffer:relay:relay1"],
    usage: "server",
    hosts: ["127.0.0.1", "localhost"],
  });

  readonly folder = mkdtempSync(join(tmpdir(), "coffer-relay-"));
  readonly log: LogLine[] = [];
  readonly files = {
    certificate: join(this.folder, "certificate.pem"),
    key: join(this.folder, "key.pem"),
    relayAuthority: join(this.folder, "relay-authority.pem"),
    deviceAuthority: join(this.folder, "device-authority.pem"),
    deviceCrl: join(this.folder, "device-crl.pem"),
  };
  port = 0;
  metricsPort = 0;
  readonly #abort = new AbortController();
  readonly #endpoints: TestEndpoint[] = [];
  #running: Promise<void> = Promise.resolve();

  static async start(changes: Partial<RelayOptions> = {}): Promise<TestRelay> {
    const relay = new TestRelay();
    relay.write("certificate", TestRelay.#relayIdentity.certificate);
    relay.write("key", TestRelay.#relayIdentity.key);
    relay.write("relayAuthority", TestRelay.relayAuthority.certificate);
    relay.write("deviceAuthority", TestRelay.deviceAuthority.certificate);
    relay.write("deviceCrl", TestRelay.deviceAuthority.revoke([]));
    await new Promise<void>((resolve, reject) => {
      relay.#running = runRelay({
        listen: { host: "127.0.0.1", port: 0 },
        name: "relay1",
        files: relay.files,
        log: (line) => relay.log.push(JSON.parse(line) as LogLine),
        signal: relay.#abort.signal,
        onListening: ({ port, metricsPort }) => {
          relay.port = port;
          relay.metricsPort = metricsPort ?? 0;
          resolve();
        },
        ...changes,
      });
      relay.#running.catch(reject);
    });
    return relay;
  }

  write(file: keyof TestRelay["files"], text: string): void {
    writeFileSync(this.files[file], text);
  }

  async connect(identity: TestIdentity | undefined, options: ConnectionOptions = {}): Promise<TestEndpoint> {
    const endpoint = await TestEndpoint.connect(
      this.port,
      TestRelay.relayAuthority.certificate,
      identity,
      options,
    );
    this.#endpoints.push(endpoint);
    return endpoint;
  }

  /** Connected, and hello exchanged. */
  async join(role: "device" | "client", name: string): Promise<TestEndpoint> {
    const endpoint = await this.connect(identityOf(role, name));
    await endpoint.hello();
    return endpoint;
  }

  /** The first line with these values, waiting for it if need be. */
  async logged(values: LogLine): Promise<LogLine> {
    for (let tries = 0; tries < 800; tries++) {
      const found = this.log.find((line) =>
        Object.entries(values).every(([key, value]) => line[key] === value),
      );
      if (found) return found;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(
      `not in the log: ${JSON.stringify(values)}\n${this.log.map((line) => JSON.stringify(line)).join("\n")}`,
    );
  }

  /** Begins a graceful stop. */
  abort(): void {
    this.#abort.abort();
  }

  async stopped(): Promise<void> {
    await this.#running;
  }

  async stop(): Promise<void> {
    for (const endpoint of this.#endpoints) endpoint.destroy();
    this.abort();
    await this.stopped();
    rmSync(this.folder, { recursive: true });
  }
}

const identities = new Map<string, TestIdentity>();

/** A good certificate, made once. */
export function identityOf(role: "device" | "client", name: string): TestIdentity {
  const uri = `coffer:${role}:${name}`;
  const known = identities.get(uri) ?? TestRelay.deviceAuthority.issue({ uris: [uri] });
  identities.set(uri, known);
  return known;
}
