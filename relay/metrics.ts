// SPDX-License-Identifier: MIT
/** /metrics for Prometheus and /healthz, over plain HTTP: meant for a loopback address. */
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { monitorEventLoopDelay } from "node:perf_hooks";
import prometheus from "prom-client";
import type { RelayServer } from "./server";

export class MetricsServer {
  readonly #registry = new prometheus.Registry();
  readonly #delay = monitorEventLoopDelay({ resolution: 20 });
  readonly #http: Server;

  constructor(relay: RelayServer) {
    this.#register(relay);
    this.#delay.enable();
    this.#http = createServer({ requestTimeout: 5000, headersTimeout: 5000 }, (request, response) => {
      const path = request.url?.split("?")[0];
      if (request.method !== "GET" && request.method !== "HEAD") {
        response.writeHead(405, { allow: "GET, HEAD" }).end();
      } else if (path === "/healthz") {
        response.writeHead(200, { "content-type": "application/json" });
        response.end(`${JSON.stringify({ status: "ok", uptimeSeconds: Math.floor(process.uptime()) })}\n`);
      } else if (path === "/metrics") {
        this.#registry.metrics().then(
          (text) => response.writeHead(200, { "content-type": this.#registry.contentType }).end(text),
          () => response.writeHead(500).end(),
        );
      } else response.writeHead(404).end();
    });
    this.#http.maxConnections = 32;
  }

  async listen(address: { host: string; port: number }): Promise<AddressInfo> {
    await new Promise<void>((resolve, reject) => {
      this.#http.once("error", reject);
      this.#http.listen(address, resolve);
    });
    return this.#http.address() as AddressInfo;
  }

  async close(): Promise<void> {
    this.#delay.disable();
    await new Promise<void>((resolve) => {
      this.#http.close(() => {
        resolve();
      });
      this.#http.closeAllConnections();
    });
  }

  /** The relay counts with plain numbers; they are read when somebody asks. */
  #register(relay: RelayServer): void {
    const { pairing, pool } = relay;
    const connections = this.#gauge("connections", "Open connections after hello", ["role"], () => {
      const count = { device: 0, client: 0 };
      for (const { hello, peer } of pairing.links) if (hello) count[peer.role]++;
      connections.set({ role: "device" }, count.device);
      connections.set({ role: "client" }, count.client);
    });
    const channels = this.#gauge("channels", "Open channels", [], () => {
      channels.set(pairing.pump.channelCount);
    });
    const lines = this.#gauge("lines", "Lines, open or waiting for an end", [], () => {
      lines.set(pairing.lines.count);
    });
    const queued = this.#gauge("queued_bytes", "Bytes waiting for slower readers", [], () => {
      queued.set(pool.queuedBytes + pairing.lines.queuedBytes);
    });
    const bytes = this.#counter("bytes_total", "Data passed on, with frame headers", ["direction"], () => {
      bytes.inc({ direction: "to_device" }, pairing.pump.bytesToDevices + pairing.lines.bytesToDevices);
      bytes.inc({ direction: "to_client" }, pairing.pump.bytesToClients + pairing.lines.bytesToClients);
    });
    const handshakes = this.#counter("handshakes_total", "TLS handshakes", ["kind"], () => {
      handshakes.inc({ kind: "full" }, relay.handshakes.full);
      handshakes.inc({ kind: "resumed" }, relay.handshakes.resumed);
    });
    const refusals = this.#counter("refused_total", "Connections refused or expelled", ["reason"], () => {
      for (const [reason, count] of relay.refusals) refusals.inc({ reason }, count);
    });
    const lag = this.#gauge(
      "event_loop_lag_seconds",
      "Delay of the event loop since last asked",
      ["quantile"],
      () => {
        lag.set({ quantile: "0.5" }, this.#delay.percentile(50) / 1e9);
        lag.set({ quantile: "0.99" }, this.#delay.percentile(99) / 1e9);
        lag.set({ quantile: "1" }, this.#delay.max / 1e9);
        this.#delay.reset();
      },
    );
    const memory = this.#gauge("memory_bytes", "Memory of the process", ["kind"], () => {
      const { rss, heapUsed, external } = process.memoryUsage();
      memory.set({ kind: "resident" }, rss);
      memory.set({ kind: "heap" }, heapUsed);
      memory.set({ kind: "external" }, external);
    });
    const cpu = this.#counter("cpu_seconds_total", "Processor time of the process", [], () => {
      const { user, system } = process.cpuUsage();
      cpu.inc((user + system) / 1e6);
    });
  }

  #gauge<T extends string>(
    name: string,
    help: string,
    labelNames: T[],
    collect: () => void,
  ): prometheus.Gauge<T> {
    return new prometheus.Gauge({
      name: `coffer_relay_${name}`,
      help,
      labelNames,
      registers: [this.#registry],
      collect,
    });
  }

  /** `collect` adds up from zero each time. */
  #counter<T extends string>(
    name: string,
    help: string,
    labelNames: T[],
    collect: () => void,
  ): prometheus.Counter<T> {
    const counter = new prometheus.Counter({
      name: `coffer_relay_${name}`,
      help,
      labelNames,
      registers: [this.#registry],
      collect: () => {
        counter.reset();
        collect();
      },
    });
    return counter;
  }
}
