// SPDX-License-Identifier: MIT
/**
 * The keychain of the operating system: macOS Keychain, Windows Credential Manager, the Secret Service on Linux. It keeps
 * a random secret of 32 bytes that has a key slot of its own: what leaks from it is not the passphrase, and removing
 * the slot ends it. The package behind it is optional; without it, or without a keychain that answers, there is a refusal.
 */

import { readIfPresent, writePrivateFile } from "./private-files";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Refusal } from "./refusal";
import { SECRET_BYTES } from "./repository/key-secret";
import type { State } from "./state";

/** What Coffer needs of a keychain. Any failure may be thrown. */
export interface Keychain {
  get(account: string): Promise<Uint8Array | undefined>;
  set(account: string, secret: Uint8Array): Promise<void>;
  delete(account: string): Promise<void>;
}

const SERVICE = "coffer";
/** Without the pin a Linux without Secret Service would silently use a store that is lost at the next boot. */
const ENTRY_OPTIONS = { linux: { store: "secret-service" } } as const;
/** A locked keychain may ask its person; a missing one may never answer. */
const PATIENCE_MS = 60_000;

export function systemKeychain(): Keychain {
  const entry = async (account: string): Promise<import("@napi-rs/keyring").AsyncEntry> => {
    const { AsyncEntry } = await import("@napi-rs/keyring");
    return new AsyncEntry(SERVICE, account, ENTRY_OPTIONS);
  };
  const patience = (): AbortSignal => AbortSignal.timeout(PATIENCE_MS);
  return {
    get: async (account) => {
      const text = await (await entry(account)).getPassword(patience());
      return text === undefined ? undefined : Buffer.from(text, "base64");
    },
    set: async (account, secret) => {
      await (await entry(account)).setPassword(Buffer.from(secret).toString("base64"), patience());
    },
    delete: async (account) => {
      await (await entry(account)).deletePassword(patience());
    },
  };
}

/** Which slot of the repository this computer's keychain opens: a file of the state folder, not secret. */
export class KeychainKey {
  readonly #state: State;
  readonly #keychain: Keychain;
  readonly #path: string;

  constructor(state: State, keychain: Keychain = systemKeychain()) {
    this.#state = state;
    this.#keychain = keychain;
    this.#path = join(state.repositoryFolder, "keychain.json");
  }

  /** The id of the slot; undefined when the keychain is not used. */
  async slotId(): Promise<string | undefined> {
    const text = await readIfPresent(this.#path);
    if (text === undefined) return undefined;
    const id = /"slot":"([0-9a-f]{16})"/.exec(text)?.[1];
    if (id === undefined)
      throw new Refusal("damagedState", `${this.#path} makes no sense`, {
        hint: "Delete it; the passphrase is asked for then.",
      });
    return id;
  }

  /** The secret; undefined when the keychain is not used. Refuses when it is and does not answer. */
  async secret(): Promise<Uint8Array | undefined> {
    const id = await this.slotId();
    if (id === undefined) return undefined;
    const secret = await this.#try("read", async () => this.#keychain.get(await this.#account()));
    if (secret?.length !== SECRET_BYTES) throw unusable("has no key for this repository any more");
    return secret;
  }

  async keep(secret: Uint8Array): Promise<void> {
    const account = await this.#account();
    await this.#try("written", async () => {
      await this.#keychain.set(account, secret);
      const kept = await this.#keychain.get(account);
      if (!kept || Buffer.compare(kept, secret) !== 0) throw new Error("it gives back something else");
    });
  }

  async use(slotId: string): Promise<void> {
    await writePrivateFile(this.#path, `{"slot":"${slotId}"}\n`);
  }

  async forget(): Promise<void> {
    await rm(this.#path, { force: true });
    const account = await this.#account();
    await this.#try("changed", () => this.#keychain.delete(account));
  }

  async #account(): Promise<string> {
    return (await this.#state.loadConfig()).repositoryId;
  }

  async #try<Value>(doing: string, work: () => Promise<Value>): Promise<Value> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof Refusal) throw error;
      throw unusable(`cannot be ${doing} (${(error as Error).message})`, error);
    }
  }
}

function unusable(what: string, cause?: unknown): Refusal {
  return new Refusal("keychainUnusable", `the keychain of this system ${what}`, {
    hint: "On Linux it needs a Secret Service on the session's D-Bus (GNOME Keyring, KWallet). A passphrase or --keyfile works without.",
    ...(cause === undefined ? {} : { cause }),
  });
}
