// SPDX-License-Identifier: MIT
/**
 * What Tab offers at the prompt: command names, options, and remote or local paths, quoted the way the person began.
 * A folder's completion ends with "/" so that the next Tab goes on inside it.
 */

import { type Quote, quoteWord, scanLine } from "./words";

/** What the argument of a command is, so that the right paths are offered. */
export type ArgumentKind = "remote" | "remoteFolder" | "local" | "localFolder" | "command" | "none";

export interface CompletableCommand {
  /** What its first, second, ... argument is; the last one stands for all that follow. */
  arguments: readonly ArgumentKind[];
  /** Options with their dashes. */
  options: readonly string[];
  /** Kinds of the values that options take. */
  optionValues: Readonly<Record<string, ArgumentKind>>;
}

export interface Listed {
  name: string;
  isFolder: boolean;
}

export interface CompletionSource {
  commands: ReadonlyMap<string, CompletableCommand>;
  /** What is in a remote folder; the path as typed, up to and with its last "/". Empty when there is no such folder. */
  listRemote(folder: string): Promise<readonly Listed[]>;
  listLocal(folder: string): Promise<readonly Listed[]>;
}

/** As node:readline wants it: the candidates, and the part of the line that they replace. */
export type Completion = [candidates: string[], replaced: string];

const maxCandidates = 500;

export async function complete(line: string, source: CompletionSource): Promise<Completion> {
  const { words, openQuote, endsInWord, endsInComment } = scanLine(line);
  if (endsInComment) return [[], ""];
  const current = endsInWord ? words.at(-1) : undefined;
  const typed = current?.text ?? "";
  const replaced = current === undefined ? "" : line.slice(current.startIndex);
  const before = (current === undefined ? words : words.slice(0, -1)).map(({ text }) => text);
  const candidates = await candidatesFor(before, typed, quoteOf(replaced, openQuote), source);
  return [candidates.slice(0, maxCandidates), replaced];
}

/** The quote that the word began with, as long as it is still open. */
function quoteOf(replaced: string, openQuote: Quote): Quote {
  return openQuote !== "" && replaced.startsWith(openQuote) ? openQuote : "";
}

async function candidatesFor(
  before: readonly string[],
  typed: string,
  quote: Quote,
  source: CompletionSource,
): Promise<string[]> {
  const name = before[0];
  if (name === undefined) return startingWith([...source.commands.keys()], typed);
  const command = source.commands.get(name);
  if (command === undefined) return [];
  if (typed.startsWith("-") && !before.includes("--")) return startingWith(command.options, typed);
  switch (kindAt(command, before.slice(1))) {
    case "command":
      return startingWith([...source.commands.keys()], typed);
    case "remote":
      return paths(typed, quote, false, source.listRemote.bind(source));
    case "remoteFolder":
      return paths(typed, quote, true, source.listRemote.bind(source));
    case "local":
      return paths(typed, quote, false, source.listLocal.bind(source));
    case "localFolder":
      return paths(typed, quote, true, source.listLocal.bind(source));
    case "none":
      return [];
  }
}

function startingWith(names: readonly string[], typed: string): string[] {
  return names.filter((name) => name.startsWith(typed)).map((name) => `${name} `);
}

/** The kind of the word that comes after `words`: an option's value, or the next argument. */
function kindAt(command: CompletableCommand, words: readonly string[]): ArgumentKind {
  let position = 0;
  let pending: ArgumentKind | undefined;
  let areOptionsOver = false;
  for (const word of words) {
    if (pending !== undefined) pending = undefined;
    else if (word === "--") areOptionsOver = true;
    else if (word.startsWith("-") && !areOptionsOver) pending = command.optionValues[word];
    else position += 1;
  }
  return pending ?? command.arguments[Math.min(position, command.arguments.length - 1)] ?? "none";
}

async function paths(
  typed: string,
  quote: Quote,
  onlyFolders: boolean,
  list: (folder: string) => Promise<readonly Listed[]>,
): Promise<string[]> {
  const folder = typed.slice(0, typed.lastIndexOf("/") + 1);
  const start = typed.slice(folder.length);
  const listed = await list(folder);
  return listed
    .filter(({ name, isFolder }) => name.startsWith(start) && (isFolder || !onlyFolders))
    .filter(({ name }) => start !== "" || !name.startsWith("."))
    .map(({ name, isFolder }) =>
      isFolder ? quoteWord(`${folder}${name}/`, quote, false) : `${quoteWord(folder + name, quote)} `,
    )
    .sort();
}
