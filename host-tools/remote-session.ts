// SPDX-License-Identifier: MIT
/**
 * What file commands work in: where "here" is on both sides, and the repository, opened when it is first needed and
 * then kept. One command has one; the shell keeps one for as long as it runs and opens it again after Ctrl-C.
 */

import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { chooseDevices } from "./device-choice";
import { keySecretFor } from "./key-source";
import type { OpenedRepository } from "./open-repository";
import type { Output } from "./render";
import type { KeySecret } from "./repository/key-secret";
import type { Repository } from "./repository/repository";
import { startUnlocking } from "./repository/unlock";
import { resolveRemote } from "./shell/remote-path";
import type { State } from "./state";

export interface RemoteSessionOptions {
  state: State;
  output: Output;
  /** From `--device`. */
  devices?: readonly string[] | undefined;
  passphraseFile?: string | undefined;
  keyfile?: string | undefined;
}

export class RemoteSession {
  readonly state: State;
  /** The folder that relative remote paths start from. */
  remoteFolder = "/";
  /** The folder that relative local paths start from. */
  localFolder = process.cwd();
  readonly #output: Output;
  readonly #namedDevices: readonly string[] | undefined;
  readonly #passphraseFile: string | undefined;
  readonly #keyfile: string | undefined;
  #mayUseKeychain = true;
  #passphrase: KeySecret | undefined;
  #controller = new AbortController();
  #opened: Promise<OpenedRepository> | undefined;
  /** What interrupted work still has open. */
  readonly #closing = new Set<Promise<void>>();

  constructor({ state, output, devices, passphraseFile, keyfile }: RemoteSessionOptions) {
    this.state = state;
    this.#output = output;
    this.#namedDevices = devices;
    this.#passphraseFile = passphraseFile;
    this.#keyfile = keyfile;
  }

  /** Fires when the running command is interrupted. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  remotePath(path: string): string {
    return resolveRemote(this.remoteFolder, path);
  }

  /** Absolute; "~" and "~/..." are the home folder, because the shell has nobody else to expand it. */
  localPath(path: string): string {
    if (path === "~" || path.startsWith("~/")) return join(homedir(), path.slice(1));
    return resolve(this.localFolder, path);
  }

  /** The names of the devices that this session works with. */
  deviceNames(): Promise<string[]> {
    return chooseDevices(this.state, this.#namedDevices);
  }

  /** The names that were asked for, or every paired device. */
  async namedOrAllDevices(): Promise<string[]> {
    return this.#namedDevices === undefined ? this.state.listDevices() : this.deviceNames();
  }

  get areDevicesNamed(): boolean {
    return this.#namedDevices !== undefined;
  }

  /** What opens the repository; asks for the passphrase unless it is known. A shell does so before its prompt takes the terminal. */
  async passphrase(): Promise<KeySecret> {
    this.#passphrase ??= await keySecretFor(this.state, {
      keyfile: this.#keyfile,
      passphraseFile: this.#passphraseFile,
      mayUseKeychain: this.#mayUseKeychain,
      onWarning: (text) => {
        this.#output.warn(text);
      },
    });
    return this.#passphrase;
  }

  /** From now on another key has to be shown than the one in this computer's keychain. */
  withoutKeychain(): void {
    this.#mayUseKeychain = false;
  }

  async repository(): Promise<Repository> {
    return (await this.#open()).repository;
  }

  /** Stops `work`, which closes what it used when it has ended: until then it has its keys. The next use opens the repository anew. */
  interrupt(reason: Error, work: Promise<unknown>): void {
    const opened = this.#opened;
    this.#opened = undefined;
    const closing = Promise.allSettled([opened, work])
      .then(async ([it]) => {
        if (it.status === "fulfilled") await it.value?.close();
      })
      .catch(() => undefined)
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
    this.#controller.abort(reason);
    this.#controller = new AbortController();
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    this.#passphrase = undefined;
    await Promise.all(this.#closing);
    const repository = await opened?.catch(() => undefined);
    await repository?.close();
  }

  async #open(): Promise<OpenedRepository> {
    this.#opened ??= this.#connect();
    const attempt = this.#opened;
    try {
      return await attempt;
    } catch (error) {
      // The next command tries again.
      if (this.#opened === attempt) this.#opened = undefined;
      throw error;
    }
  }

  async #connect(): Promise<OpenedRepository> {
    const { signal } = this.#controller;
    await this.state.loadConfig();
    const devices = await this.deviceNames();
    const passphrase = await this.passphrase();
    // A passphrase takes as long as loading the rest of the program and connecting: all at once, in threads of its own,
    // once it has had a turn to begin.
    const unlocking = startUnlocking(this.state.home, passphrase);
    unlocking.catch(() => undefined);
    await turn();
    const { openRepository } = await import("./open-repository");
    const onWarning = (text: string): void => {
      this.#output.warn(text);
    };
    const onEvent = (text: string): void => {
      this.#output.note(text);
    };
    return openRepository({
      state: this.state,
      devices,
      passphrase,
      unlocking,
      signal,
      onWarning,
      onEvent,
    });
  }
}
