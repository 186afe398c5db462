// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";
import type { ProtocolVectors } from "./protocol-vectors";

function read(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`vectors/${name}.json`, import.meta.url), "utf8"));
}

export function loadProtocolVectors(): ProtocolVectors {
  return {
    messages: read("messages"),
    frames: read("frames"),
    session: read("session"),
    card: read("card"),
    log: read("log"),
    text: read("text"),
  } as ProtocolVectors;
}
