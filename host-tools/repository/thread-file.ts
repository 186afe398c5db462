// SPDX-License-Identifier: MIT
/** Where the program of a thread is. A thread has no loader for TypeScript: from the sources, too, it runs what was built. */

export function threadFile(name: string): URL {
  const folder = import.meta.url.endsWith(".ts") ? "../dist/" : "./";
  return new URL(`${folder}${name}.cjs`, import.meta.url);
}
