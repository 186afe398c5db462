// SPDX-License-Identifier: MIT
/**
 * Where the passphrase comes from: `--passphrase-file`, else $COFFER_PASSPHRASE, else the person at the terminal,
 * who sees nothing of what is typed. In a script without any of the three it is a refusal, never a hang.
 *
 * Normalised to NFC, so that the same words typed on different systems give the same keys.
 */

import { readFile } from "node:fs/promises";
import { Refusal, fromFileError } from "./refusal";

export interface PassphraseOptions {
  /** From `--passphrase-file`: the first line is the passphrase. */
  file?: string | undefined;
  /** "create" asks twice and refuses an empty one. */
  purpose: "open" | "create";
  /** The question, without the colon: "Passphrase". */
  prompt?: string;
  environment?: NodeJS.ProcessEnv;
  /** The process's own unless a test brings another. */
  terminal?: Terminal;
}

export interface Terminal {
  input: NodeJS.ReadableStream & { isTTY?: boolean; setRawMode(isRaw: boolean): unknown };
  output: NodeJS.WritableStream;
}

export async function readPassphrase(options: PassphraseOptions): Promise<string> {
  const { file, purpose, prompt = purpose === "create" ? "New passphrase" : "Passphrase" } = options;
  if (file !== undefined) return usable(await firstLine(file), `the passphrase in ${file}`);
  const fromEnvironment = (options.environment ?? process.env).COFFER_PASSPHRASE;
  if (fromEnvironment !== undefined && fromEnvironment !== "")
    return usable(fromEnvironment, "$COFFER_PASSPHRASE");
  const terminal = options.terminal ?? { input: process.stdin, output: process.stderr };
  if (terminal.input.isTTY !== true)
    throw new Refusal("noPassphrase", "a passphrase is needed and there is no terminal to ask at", {
      hint: "Give --passphrase-file FILE, or set $COFFER_PASSPHRASE.",
    });
  const typed = usable(await ask(terminal, `${prompt}: `), "the passphrase");
  if (purpose === "create" && (await ask(terminal, "The same again: ")).normalize("NFC") !== typed)
    throw new Refusal("usage", "the two passphrases differ", { hint: "Run the command again." });
  return typed;
}

function usable(text: string, what: string): string {
  if (text === "")
    throw new Refusal("noPassphrase", `${what} is empty`, { hint: "Choose a passphrase of several words." });
  return text.normalize("NFC");
}

async function firstLine(file: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).split(/\r?\n/, 1)[0] ?? "";
  } catch (error) {
    throw fromFileError(error, `cannot read the passphrase file ${file}`);
  }
}

/** One line from the terminal in raw mode, so that nothing is echoed. */
async function ask({ input, output }: Terminal, question: string): Promise<string> {
  output.write(question);
  input.setRawMode(true);
  input.setEncoding("utf8");
  try {
    return await readLine(input);
  } finally {
    input.setRawMode(false);
    input.pause();
    output.write("\n");
  }
}

function readLine(input: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve, reject) => {
    let line = "";
    const end = (): void => {
      input.off("data", onData);
      input.off("end", onEnd);
    };
    const onEnd = (): void => {
      end();
      reject(new Refusal("noPassphrase", "no passphrase was given"));
    };
    const onData = (text: string | Buffer): void => {
      const characters = Array.from(text.toString());
      for (const [index, character] of characters.entries()) {
        const key = editingKeys[character];
        if (key === "enter") {
          end();
          // What was pasted behind the line belongs to the next question.
          const rest = characters.slice(index + 1).join("");
          if (rest !== "") input.unshift(rest);
          resolve(line);
          return;
        }
        if (key === "interrupt") {
          end();
          reject(new Refusal("interrupted", "interrupted"));
          return;
        }
        if (key === "end" && line === "") {
          onEnd();
          return;
        }
        if (key === "erase") line = Array.from(line).slice(0, -1).join("");
        else if (key === "eraseAll") line = "";
        else if (key === undefined) line += character;
      }
    };
    input.on("data", onData);
    input.on("end", onEnd);
    input.resume();
  });
}

const editingKeys: Readonly<Record<string, "enter" | "interrupt" | "end" | "erase" | "eraseAll">> = {
  "\r": "enter",
  "\n": "enter",
  "\u0003": "interrupt",
  "\u0004": "end",
  "\b": "erase",
  "\u007f": "erase",
  "\u0015": "eraseAll",
};
