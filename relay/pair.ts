// SPDX-License-Identifier: MIT
/**
 * Who is connected, and which client talks to which device: everything on a link but the data. SPEC.md "Link".
 */
import { DataError } from "../firmware/protocol/data-error";
import { FRAME_HEADER_BYTES, FrameType, type FrameHeader } from "../firmware/protocol/frame";
import {
  MAX_CHANNELS,
  MAX_FRAME_BYTES,
  MAX_LISTED_DEVICES,
  MIN_MAX_FRAME_BYTES,
  TICKET_BYTES,
  WIRE_VERSION,
} from "../firmware/protocol/limits";
import {
  CloseReason,
  type ListedDevice,
  accept,
  askLine,
  close,
  devices,
  goAway,
  heartbeat,
  hello,
  line,
  listDevices,
  open,
  welcome,
} from "../firmware/protocol/link-messages";
import { decode } from "../firmware/protocol/message";
import { MAX_CONTROL_BYTES, OPEN_TIMEOUT_MS } from "./limits";
import { type Line, Lines } from "./lines";
import type { Link } from "./link";
import type { OutboxPool } from "./outbox";
import { type Channel, Pump, Side } from "./pump";

/** Names of devices seen since the start, to tell "offline" from "unknown". */
const MAX_KNOWN_DEVICES = 4096;
/** How long an endpoint that has been replaced stays away: two machines with one certificate must not fight. */
const REPLACED_RETRY_MS = 60_000;

export interface PairingOptions {
  /** The relay's name, told to every endpoint. */
  name: string;
  heartbeatSeconds: number;
  pool: OutboxPool;
  nowMs: () => number;
  onJoined(link: Link): void;
  onChannelClosed(channel: Channel, reason: number): void;
  onLineClosed(line: Line): void;
}

export class Pairing {
  readonly links = new Set<Link>();
  readonly pump: Pump;
  readonly lines: Lines;
  readonly #devices = new Map<string, Link>();
  /** Their names in order, until one comes or goes. */
  #sortedNames: string[] | undefined;
  readonly #knownDevices = new Set<string>();
  readonly #options: PairingOptions;
  #isStopping = false;

  constructor(options: PairingOptions) {
    this.#options = options;
    this.pump = new Pump({
      pool: options.pool,
      onClosed: (channel, reason) => {
        options.onChannelClosed(channel, reason);
        this.#finished(channel.client.link, channel.device.link);
      },
    });
    this.lines = new Lines({
      nowMs: options.nowMs,
      onClosed: (closed) => {
        options.onLineClosed(closed);
        this.#finished(closed.client, closed.device);
      },
    });
  }

  /** A whole frame from `link`. Throws DataError when the link has to end. */
  receive(link: Link, header: FrameHeader, bytes: Buffer, at: number, end: number): void {
    const { type, channel } = header;
    if (!link.hello && type !== FrameType.hello) throw new DataError("type", "hello expected");
    if (type >= FrameType.open !== channel > 0) throw new DataError("range", "channel 0 and frame type");
    if (type === FrameType.data || type === FrameType.credit || type === FrameType.close) {
      this.pump.forward(link, type, channel, bytes, at, end);
      return;
    }
    link.countRequest();
    const payload = bytes.subarray(at + FRAME_HEADER_BYTES, end);
    if (type === FrameType.hello) this.#welcome(link, payload);
    else if (type === FrameType.ping) link.send(FrameType.pong, 0, heartbeat, decode(heartbeat, payload));
    else if (type === FrameType.pong) decode(heartbeat, payload);
    else if (type === FrameType.listDevices && link.peer.role === "client") this.#list(link, payload);
    else if (type === FrameType.askLine && link.peer.role === "client") this.#askLine(link, payload);
    else if (type === FrameType.open && link.peer.role === "client") this.#open(link, channel, payload);
    else if (type === FrameType.accept && link.peer.role === "device") this.#accept(link, channel, payload);
    else throw new DataError("type", `frame type ${String(type)} from a ${link.peer.role}`);
  }

  /** Forgets a link that has ended; the other ends of its channels are told. */
  remove(link: Link): void {
    this.links.delete(link);
    if (this.#devices.get(link.peer.name) === link) {
      this.#devices.delete(link.peer.name);
      this.#sortedNames = undefined;
    }
    for (const side of [...link.sides.values()])
      this.pump.close(this.pump.channelOf(side), CloseReason.peerLost, side);
    for (const between of [...link.lines]) this.lines.close(between);
  }

  /** Called about every second. */
  tick(nowMs: number): void {
    for (const link of [...this.links]) link.tick(nowMs);
    for (const channel of [...this.pump.unanswered(nowMs, OPEN_TIMEOUT_MS)])
      this.pump.close(channel, CloseReason.timeout);
    this.lines.tick(nowMs);
  }

  /** Refuses new channels, tells everybody when to come back, and ends each link when it has no channels or lines left. */
  stop(retryMs: () => number): void {
    this.#isStopping = true;
    for (const link of [...this.links]) {
      link.retryMs = retryMs();
      if (!link.isBusy) link.end("stopped", CloseReason.goingAway);
      else link.send(FrameType.goAway, 0, goAway, { reason: CloseReason.goingAway, retryMs: link.retryMs });
    }
  }

  /** Ends what has not ended by itself. */
  stopNow(): void {
    for (const link of [...this.links]) link.end("stopped", CloseReason.goingAway);
  }

  /** Something between the two has ended. */
  #finished(client: Link, device: Link): void {
    if (!this.#isStopping) return;
    for (const link of [client, device]) if (!link.isBusy) link.end("stopped", CloseReason.goingAway);
  }

  #welcome(link: Link, payload: Uint8Array): void {
    if (link.hello) throw new DataError("type", "second hello");
    const said = decode(hello, payload);
    if (said.minVersion > WIRE_VERSION || said.maxVersion < WIRE_VERSION)
      throw new DataError("version", `${String(said.minVersion)}..${String(said.maxVersion)}`);
    if (said.maxFrameBytes < MIN_MAX_FRAME_BYTES || said.maxFrameBytes > MAX_FRAME_BYTES)
      throw new DataError("range", "hello: maxFrameBytes");
    link.hello = said;
    link.limitRecords(said.maxFrameBytes);
    const { name, role } = link.peer;
    if (role === "device") {
      const older = this.#devices.get(name);
      if (older) older.retryMs = REPLACED_RETRY_MS;
      older?.end("replaced", CloseReason.replaced);
      this.#devices.set(name, link);
      this.#sortedNames = undefined;
      if (this.#knownDevices.size < MAX_KNOWN_DEVICES) this.#knownDevices.add(name);
    }
    link.send(FrameType.welcome, 0, welcome, {
      version: WIRE_VERSION,
      maxFrameBytes: MAX_FRAME_BYTES,
      heartbeatSeconds: this.#options.heartbeatSeconds,
      unixMs: Date.now(),
      relay: this.#options.name,
    });
    this.#options.onJoined(link);
  }

  #list(link: Link, payload: Uint8Array): void {
    const { after } = decode(listDevices, payload);
    this.#sortedNames ??= [...this.#devices.keys()].sort();
    const names = this.#sortedNames.filter((name) => name > after);
    const page: ListedDevice[] = [];
    let room = (link.hello?.maxFrameBytes ?? 0) - devices.size({ more: 0, devices: [] });
    for (const name of names) {
      const device = this.#devices.get(name);
      const since = Math.floor((device?.connectedAtMs ?? 0) / 1000);
      const listed = { name, since, software: device?.hello?.software ?? "" };
      room -= devices.size({ more: 0, devices: [listed] });
      if (room < 0 || page.length === MAX_LISTED_DEVICES) break;
      page.push(listed);
    }
    const more = page.length < names.length ? 1 : 0;
    link.send(FrameType.devices, 0, devices, { more, devices: page });
  }

  #open(link: Link, id: number, payload: Uint8Array): void {
    const { peer, creditBytes, maxFrameBytes } = decode(open, payload);
    if (link.sides.has(id)) throw new DataError("range", `channel ${String(id)} is open`);
    if (maxFrameBytes < MIN_MAX_FRAME_BYTES) throw new DataError("range", "open: maxFrameBytes");
    const device = this.#devices.get(peer);
    const refusal = this.#refusalOf(link, device, peer);
    if (refusal !== undefined || !device) {
      link.send(FrameType.close, id, close, { reason: refusal ?? CloseReason.unknownDevice });
      return;
    }
    const channel: Channel = {
      client: new Side(link, id),
      device: new Side(device, device.allocateId()),
      openedAtMs: this.#options.nowMs(),
      isAccepted: false,
    };
    channel.client.maxFrameBytes = Math.min(maxFrameBytes, link.hello?.maxFrameBytes ?? 0);
    channel.device.creditBytes = channel.client.admit(creditBytes, channel.device);
    this.pump.add(channel);
    device.send(FrameType.open, channel.device.id, open, {
      peer: link.peer.name,
      creditBytes: channel.device.creditBytes,
      maxFrameBytes: channel.client.maxFrameBytes,
    });
  }

  #askLine(link: Link, payload: Uint8Array): void {
    const { peer } = decode(askLine, payload);
    const device = this.#devices.get(peer);
    const reason = this.#refusalOf(link, device, peer);
    const tickets = reason === undefined && device ? this.lines.open(link, device) : undefined;
    const none = new Uint8Array(TICKET_BYTES);
    link.send(
      FrameType.line,
      0,
      line,
      tickets
        ? { reason: CloseReason.done, ...tickets }
        : { reason: reason ?? CloseReason.busy, clientTicket: none, deviceTicket: none },
    );
  }

  #refusalOf(link: Link, device: Link | undefined, name: string): number | undefined {
    if (this.#isStopping) return CloseReason.goingAway;
    if (!device?.hello)
      return this.#knownDevices.has(name) ? CloseReason.deviceOffline : CloseReason.unknownDevice;
    const isFull =
      link.sides.size >= Math.min(link.hello?.maxChannels ?? 0, MAX_CHANNELS) ||
      device.sides.size >= Math.min(device.hello.maxChannels, MAX_CHANNELS) ||
      // A device that reads slowly is not told of more than it can hear.
      device.outbox.controlBytes > MAX_CONTROL_BYTES / 2;
    return isFull ? CloseReason.busy : undefined;
  }

  #accept(link: Link, id: number, payload: Uint8Array): void {
    const { creditBytes, maxFrameBytes } = decode(accept, payload);
    const side = link.sides.get(id);
    if (!side && link.remembers(id)) return;
    if (!side) throw new DataError("range", `no channel ${String(id)}`);
    const channel = this.pump.channelOf(side);
    if (channel.isAccepted || maxFrameBytes < MIN_MAX_FRAME_BYTES) throw new DataError("range", "accept");
    channel.isAccepted = true;
    side.maxFrameBytes = Math.min(maxFrameBytes, link.hello?.maxFrameBytes ?? 0);
    channel.client.creditBytes = side.admit(creditBytes, channel.client);
    channel.client.link.send(FrameType.accept, channel.client.id, accept, {
      creditBytes: channel.client.creditBytes,
      maxFrameBytes: side.maxFrameBytes,
    });
  }
}
