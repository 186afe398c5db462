// SPDX-License-Identifier: MIT
/** The real relay and real devices (the firmware's core on Node over a folder), all in this process, for tests. */

import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DeviceLimits } from "../../../firmware/core/device-config";
import { runNode } from "../../../firmware/platform/node/main";
import { runRelay } from "../../../relay/main";
import type { CertifiedKey } from "../../certs/certificate";
import { makeRevocationList } from "../../certs/revocation-list";
import type { RelayAddress } from "../relay-tls";
import { testCertificates, testLeaf } from "./test-identities";

export class RealRelay {
  readonly folder = mkdtempSync(join(tmpdir(), "coffer-remote-"));
  readonly log: string[] = [];
  address: RelayAddress = { host: "127.0.0.1", port: 0 };
  #metricsPort = 0;
  #abort = new AbortController();
  #running: Promise<void> = Promise.resolve();
  /** Where it answers broadcasts; undefined: nowhere. */
  #discoveryPort: number | undefined;

  /** `leaf`: its certificate, if it is not one for this computer. */
  static async start(options: { discoveryPort?: number; leaf?: CertifiedKey } = {}): Promise<RealRelay> {
    const relay = new RealRelay();
    relay.#discoveryPort = options.discoveryPort;
    const certificates = await testCertificates();
    const leaf = options.leaf ?? certificates.relay;
    const texts = {
      certificate: leaf.certificate,
      key: leaf.key,
      relayAuthority: certificates.relayAuthority.certificate,
      deviceAuthority: certificates.deviceAuthority.certificate,
      deviceCrl: await makeRevocationList(certificates.deviceAuthority, new Date()),
    };
    for (const [name, text] of Object.entries(texts)) writeFileSync(relay.#file(name), text);
    await relay.listen();
    return relay;
  }

  /** On the port it had before, when there was one. */
  async listen(): Promise<void> {
    this.#abort = new AbortController();
    const file = (name: string): string => this.#file(name);
    await new Promise<void>((resolve, reject) => {
      this.#running = runRelay({
        listen: this.address,
        name: "relay1",
        files: {
          certificate: file("certificate"),
          key: file("key"),
          relayAuthority: file("relayAuthority"),
          deviceAuthority: file("deviceAuthority"),
          deviceCrl: file("deviceCrl"),
        },
        log: (line) => this.log.push(line),
        signal: this.#abort.signal,
        metrics: { host: "127.0.0.1", port: 0 },
        ...(this.#discoveryPort === undefined ? {} : { discovery: true, discoveryPort: this.#discoveryPort }),
        onListening: ({ port, metricsPort = 0 }) => {
          this.address = { host: "127.0.0.1", port };
          this.#metricsPort = metricsPort;
          resolve();
        },
      });
      this.#running.catch(reject);
    });
  }

  /** TLS handshakes since it listens, as its metrics tell. */
  async handshakes(): Promise<{ full: number; resumed: number }> {
    const text = await (await fetch(`http://127.0.0.1:${String(this.#metricsPort)}/metrics`)).text();
    const read = (kind: string): number =>
      Number(new RegExp(`^coffer_relay_handshakes_total\\{kind="${kind}"\\} (\\d+)$`, "m").exec(text)?.[1]);
    return { full: read("full"), resumed: read("resumed") };
  }

  replace(name: "deviceCrl", text: string): void {
    writeFileSync(this.#file(name), text);
  }

  /** Gracefully, as on SIGTERM. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #file(name: string): string {
    return join(this.folder, `${name}.pem`);
  }
}

export class RealDevice {
  readonly name: string;
  readonly secret = randomBytes(32);
  readonly folder = mkdtempSync(join(tmpdir(), "coffer-device-"));
  readonly log: string[] = [];
  readonly #relay: RelayAddress;
  readonly #limits: DeviceLimits | undefined;
  #abort = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(name: string, relay: RelayAddress, limits?: DeviceLimits) {
    this.name = name;
    this.#relay = relay;
    this.#limits = limits;
  }

  /** Resolves when it is connected to the relay. */
  async start(): Promise<this> {
    const { relayAuthority, deviceAuthority } = await testCertificates();
    const leaf = await testLeaf("device", this.name);
    this.#abort = new AbortController();
    await new Promise<void>((resolve, reject) => {
      this.#running = runNode({
        folder: this.folder,
        name: this.name,
        identity: {
          keyPem: leaf.key,
          certificatePem: leaf.certificate + deviceAuthority.certificate,
          relayAuthorityPem: relayAuthority.certificate,
        },
        pairingSecrets: [this.secret],
        relay: this.#relay,
        ...(this.#limits ? { limits: this.#limits } : {}),
        log: (line) => this.log.push(line),
        signal: this.#abort.signal,
        onState: (state) => {
          if (state === "online") resolve();
        },
      });
      this.#running.catch(reject);
    });
    return this;
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
