// SPDX-License-Identifier: MIT
/** Who may import whom: protocol <- core <- platform <- main; host tools and relay may import the protocol. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { projectRoot } from "../project-root";

const root = projectRoot();

/** From the folder (with all below it) to what its modules may import: own folder, listed folders, and packages or not. */
const rules: { from: string; to: string[]; packages: RegExp; except?: Record<string, string[]> }[] = [
  { from: "firmware/protocol", to: [], packages: /^$/ },
  { from: "firmware/core", to: ["firmware/protocol"], packages: /^$/ },
  { from: "firmware/platform/node", to: ["firmware/protocol", "firmware/core"], packages: /^node:/ },
  { from: "firmware/platform/moddable", to: ["firmware/protocol", "firmware/core"], packages: /^(?!node:)/ },
  {
    from: "relay",
    to: ["firmware/protocol"],
    packages: /./,
    except: { "relay/host-discovery.ts": ["firmware/core/io"], "relay/discovery.ts": ["firmware/core/io"] },
  },
  {
    from: "host-tools",
    to: ["firmware/protocol", "relay"],
    packages: /./,
    except: {
      "host-tools/commands/node.ts": ["firmware/platform/node/main"],
      "host-tools/commands/sim.ts": ["test-sim"],
      "host-tools/commands/demo.ts": ["test-sim"],
      // Both ends of a line are the same on Node.
      "host-tools/remote/device-line.ts": ["firmware/platform/node/line-socket"],
      "host-tools/remote/node-crypto.ts": ["firmware/core/io"],
    },
  },
];

const IMPORT = /(?:\bfrom\s+|\bimport\s*\(\s*|\bimport\s+)"([^"]+)"/g;

function sources(folder: string): string[] {
  const found = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !/(^|\/)(node_modules|dist)\//.test(name))
    .map((name) => join(folder, name));
  assert.ok(found.length > 0, folder);
  return found;
}

function isTest(path: string): boolean {
  return path.endsWith(".test.ts") || /(^|\/)(test|testing)\//.test(path) || /\/test-[^/]*$/.test(path);
}

describe("imports", () => {
  for (const { from, to, packages, except } of rules) {
    it(`of ${from} go nowhere but ${[...to, "itself"].join(", ")}`, () => {
      for (const path of sources(from)) {
        if (isTest(path)) continue;
        const allowed = [from, ...to, ...(except?.[path] ?? [])];
        for (const [, specifier = ""] of readFileSync(join(root, path), "utf8").matchAll(IMPORT)) {
          if (!specifier.startsWith(".")) assert.match(specifier, packages, `${path} imports ${specifier}`);
          else {
            const target = normalize(join(dirname(path), specifier));
            const isAllowed = allowed.some((folder) => target === folder || target.startsWith(`${folder}/`));
            assert.ok(isAllowed, `${path} imports ${target}`);
          }
        }
      }
    });
  }

  it("of main.ts are the only ones of everything", () => {
    for (const path of [...sources("firmware"), ...sources("relay"), ...sources("host-tools")]) {
      if (isTest(path)) continue;
      for (const [, specifier = ""] of readFileSync(join(root, path), "utf8").matchAll(IMPORT)) {
        if (!specifier.startsWith(".")) continue;
        assert.notEqual(normalize(join(dirname(path), specifier)), "firmware/main", `${path} imports main`);
      }
    }
  });

  it("of portable code are relative and without an extension, as both compilers want them", () => {
    for (const path of [...sources("firmware/protocol"), ...sources("firmware/core")]) {
      for (const [, specifier = ""] of readFileSync(join(root, path), "utf8").matchAll(IMPORT)) {
        assert.match(specifier, /^\.[a-z0-9/.-]*\/[a-z0-9-]+$/, `${path} imports ${specifier}`);
      }
    }
  });
});
