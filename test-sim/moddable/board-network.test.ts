// SPDX-License-Identifier: MIT
/** What a board decides about its Wi-Fi and its radio's sleep, with the hardware played. Needs no SDK. */
import assert from "node:assert/strict";

import { RadioPower, wakingTcp } from "../../firmware/platform/moddable/esp32/radio-power";
import { WifiKeeper, type WifiStation } from "../../firmware/platform/moddable/esp32/wifi-keeper";
import type { TcpOptions } from "../../firmware/platform/moddable/guarded-tcp";
import { KeptLines, PlayedTime } from "./played-board";

class PlayedStation implements WifiStation {
  static latest: PlayedStation;
  connection = 200;
  address: string | undefined;
  attempts: { SSID: string; password?: string }[] = [];
  disconnects = 0;
  readonly #onChanged: () => void;

  constructor(options: { onChanged(): void }) {
    this.#onChanged = () => {
      options.onChanged();
    };
    PlayedStation.latest = this;
  }

  connect(options: { SSID: string; password?: string }): void {
    if (this.connection === 300) throw new Error("already connecting");
    this.attempts.push(options);
    this.connection = 300;
  }

  disconnect(): void {
    this.disconnects++;
    this.connection = 200;
  }

  change(connection: number): void {
    this.connection = connection;
    this.address = connection === 500 ? "192.168.1.20" : undefined;
    this.#onChanged();
  }
}

describe("a board's Wi-Fi", () => {
  const parts = () => {
    const clock = new PlayedTime();
    const log = new KeptLines();
    const questions: ((isSet: boolean) => void)[] = [];
    const troubles: string[] = [];
    let ready = 0;
    new WifiKeeper({
      credentials: { ssid: "home", password: "secret" },
      Wifi: PlayedStation,
      askTime: (done) => questions.push(done),
      clock,
      timers: clock,
      log,
      onTrouble: (name) => troubles.push(name),
      onReady: () => ready++,
    });
    clock.pass(0);
    const answer = (isSet: boolean): void => {
      if (isSet) clock.unixBaseMs = Date.UTC(2026, 0, 1);
      questions.shift()?.(isSet);
    };
    return { clock, log, questions, answer, ready: () => ready, station: PlayedStation.latest, troubles };
  };

  it("is ready when there are an address and the time, once", () => {
    const { station, answer, ready, clock, questions } = parts();
    assert.deepEqual(station.attempts, [{ SSID: "home", password: "secret" }]);
    station.change(400);
    station.change(500);
    assert.equal(ready(), 0);
    answer(true);
    assert.equal(ready(), 1);
    clock.pass(24 * 60 * 60 * 1000);
    assert.equal(questions.length, 1, "the time is asked for again after a day");
    answer(true);
    assert.equal(ready(), 1);
  });

  it("asks for the time until it has it", () => {
    const { station, answer, ready, clock, questions, troubles } = parts();
    station.change(500);
    for (let i = 0; i < 5; i++) {
      assert.equal(questions.length, 1);
      answer(false);
      clock.pass(5_000);
    }
    assert.deepEqual(troubles, Array(5).fill("clock"));
    answer(true);
    assert.equal(ready(), 1);
    clock.pass(24 * 60 * 60 * 1000);
    answer(false);
    assert.equal(troubles.length, 5, "a clock that is set goes on");
    clock.pass(10 * 60_000 - 1);
    assert.equal(questions.length, 0);
    clock.pass(1);
    assert.equal(questions.length, 1, "and is asked for every ten minutes until somebody answers");
  });

  it("connects again after every loss, with pauses that grow to half a minute", () => {
    const { station, clock } = parts();
    let before = clock.nowMs;
    const pauses: number[] = [];
    for (let i = 1; i <= 8; i++) {
      station.change(200);
      while (station.attempts.length === i) clock.pass(500);
      pauses.push(clock.nowMs - before);
      before = clock.nowMs;
    }
    assert.deepEqual(pauses, [1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    station.change(500);
    station.change(200);
    clock.pass(1000);
    assert.equal(station.attempts.length, 10, "after a success the pauses start over");
  });

  it("begins anew when no address comes", () => {
    const { station, clock } = parts();
    station.change(400);
    clock.pass(30_000);
    assert.equal(station.disconnects, 1);
    clock.pass(1_000);
    assert.equal(station.attempts.length, 2);
  });

  it("says once that there is no connection, and never the password", () => {
    const { station, clock, log, troubles } = parts();
    for (let i = 0; i < 5; i++) {
      station.change(200);
      clock.pass(60_000);
    }
    // What nobody changes by itself fails by patience, once a minute more.
    assert.ok(troubles.length >= 5 && troubles.every((name) => name === "wifi"), troubles.join());
    assert.equal(log.lines.filter((line) => line.startsWith("warn")).length, 1);
    assert.ok(!log.lines.join().includes("secret"));
  });
});

describe("a board's radio", () => {
  it("is awake while bytes move, and sleeps 10 s after the last", () => {
    const clock = new PlayedTime();
    const saving: boolean[] = [];
    const power = new RadioPower({ setPowerSave: (isSaving) => saving.push(isSaving), clock, timers: clock });
    let given: TcpOptions | undefined;
    const written: number[] = [];
    class PlayedTcp {
      constructor(options: TcpOptions) {
        given = options;
      }
      read(): void {}
      write(bytes: Uint8Array): void {
        written.push(bytes.length);
      }
      close(): void {}
    }
    const counts: number[] = [];
    const Tcp = wakingTcp(PlayedTcp, power);
    const socket = new Tcp({
      address: "127.0.0.1",
      port: 1,
      nodelay: true,
      onReadable: (count) => counts.push(count),
      onWritable: () => undefined,
      onError: () => undefined,
    });
    socket.write(new Uint8Array(40));
    assert.deepEqual(saving, [], "a heartbeat wakes nobody");
    given?.onReadable(1400);
    clock.pass(9_000);
    socket.write(new Uint8Array(4000));
    clock.pass(9_000);
    assert.deepEqual(saving, [false]);
    clock.pass(1_000);
    assert.deepEqual(saving, [false, true]);
    assert.deepEqual([counts, written], [[1400], [40, 4000]]);
  });
});
