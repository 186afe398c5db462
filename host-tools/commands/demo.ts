// SPDX-License-Identifier: MIT
import { isAbsolute, join } from "node:path";
import type { CommandModule } from "yargs";
import { type GlobalOptions, contextOf } from "../command-context";
import type { DemoHost, DemoReport } from "../demo/demo";
import { interruptSignal, throwIfInterrupted } from "../interruption";
import { Refusal } from "../refusal";
import { type Output, formatBytes, printable } from "../render";
import { plural } from "../transfer-progress";

interface DemoOptions extends GlobalOptions {
  path: string | undefined;
  host: DemoHost;
}

const hosts = ["xs-board", "node"] as const satisfies readonly DemoHost[];
const defaultHost: DemoHost = "xs-board";

export const command: CommandModule<GlobalOptions, DemoOptions> = {
  command: "demo [path]",
  describe: "Push PATH to a device on the XS engine and back, all on this computer, and compare",
  builder: (yargs) =>
    yargs
      .positional("path", { type: "string", describe: "File or folder (default: a folder of Coffer itself)" })
      .option("host", { choices: hosts, default: defaultHost, describe: "What the firmware runs on" }),
  handler: async (options) => {
    const { output } = contextOf(options);
    const signal = interruptSignal();
    const { projectRoot } = await import("../../test-sim/project-root");
    const path = pathOf(options.path) ?? join(projectRoot(), "firmware");
    if (options.host === "xs-board") await prepareBoard(output);
    throwIfInterrupted();
    const { runDemo } = await import("../demo/demo");
    output.line(`Coffer demo: ${printable(path)} to a device and back, all on this computer\n`);
    let number = 0;
    try {
      const report = await runDemo({
        path,
        host: options.host,
        signal,
        onStep: ({ title, detail, seconds }) => {
          number += 1;
          output.line(
            `  ${String(number)}  ${title.padEnd(12)}  ${`${seconds.toFixed(1)} s`.padStart(7)}  ${detail}`,
          );
        },
        onLines: (lines) => {
          for (const line of lines) output.line(`       ${line}`);
        },
      });
      finish(output, report);
    } catch (error) {
      throwIfInterrupted();
      throw error;
    }
  },
};

/** `npm run` changes to the clone's folder; the person meant the folder they were in. */
function pathOf(path: string | undefined): string | undefined {
  const startedIn = process.env["npm_lifecycle_event"] === "demo" ? process.env["INIT_CWD"] : undefined;
  if (path === undefined || startedIn === undefined || isAbsolute(path)) return path;
  return join(startedIn, path);
}

/** Compiles the XS engine on first use, which takes a while and a C compiler. */
async function prepareBoard(output: Output): Promise<void> {
  const { xsBoardProgram } = await import("../../test-sim/xs-build");
  let isTold = false;
  try {
    await xsBoardProgram((done, total) => {
      if (!isTold) output.note("Compiling the XS engine, this once (10 to 30 seconds) ...");
      isTold = true;
      if (output.showsProgress)
        process.stderr.write(`\r  ${String(done)} of ${String(total)} ${done === total ? "\n" : ""}`);
    });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Refusal("missingTool", `the XS engine could not be built: ${why}`, {
      hint: "Or try the demo with the firmware on Node: `npm run demo -- --host node`.",
      cause: error,
    });
  }
}

function finish(output: Output, report: DemoReport): void {
  output.result(report, describe(report));
  const { differences, leaks } = report;
  if (differences.length > 0)
    throw new Refusal("unexpected", `the copy differs from the original: ${differences.join("; ")}`, {
      hint: "What changes while the demo runs differs, of course; choose something at rest and run it again.",
    });
  if (leaks.length > 0) throw new Refusal("unexpected", `the card has ${leaks.join(", ")} in the clear`);
  output.note(
    "\nAll of it is removed again. For real use: the README's first steps, or `coffer init --help`.",
  );
}

function describe(report: DemoReport): string {
  const { files, folders, links, bytes, seconds, storedBytes, relayedBytes, searched, leaks, device } =
    report;
  const counts = [plural(files, "file"), plural(folders, "folder"), plural(links, "link")].join(", ");
  const found = leaks.length === 0 ? "none" : String(leaks.length);
  const rows = [
    ["this computer", `${counts}, ${formatBytes(bytes)}; the only one with the keys`],
    ["relay", `passed ${formatBytes(relayedBytes)} between two TLS connections`],
    [
      "card",
      `${formatBytes(storedBytes)} sealed; of ${plural(searched, "name")} and contents looked for, ${found} found on it`,
    ],
    ["device", deviceLine(device)],
    [
      "speed",
      `push ${perSecond(bytes, seconds.push)}, pull ${perSecond(bytes, seconds.pull)}, program starts included`,
    ],
  ];
  return `\n${rows.map(([name = "", text = ""]) => `  ${name.padEnd(13)}  ${text}`).join("\n")}`;
}

function deviceLine({ firmware, host, heapUsedBytes = 0, heapLimitBytes = 0 }: DemoReport["device"]): string {
  const limit = heapLimitBytes === 0 ? "" : ` of ${formatBytes(heapLimitBytes)}`;
  const engine = host === "xs-board" ? "XS heap" : "heap";
  const heap = heapUsedBytes === 0 ? "" : `, ${engine} ${formatBytes(heapUsedBytes)} in use${limit}`;
  return `firmware ${printable(firmware ?? "?")} on ${printable(host ?? "?")}${heap}`;
}

function perSecond(bytes: number, seconds: number): string {
  return `${formatBytes(seconds > 0 ? bytes / seconds : 0)}/s`;
}
