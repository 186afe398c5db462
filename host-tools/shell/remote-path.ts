// SPDX-License-Identifier: MIT
/** Paths inside the repository: absolute, "/" between names, no "." or ".." left in them. */

/** `path` as seen from `folder`, absolute and without "." and "..". ".." above the top stays at the top, as in sh. */
export function resolveRemote(folder: string, path: string): string {
  const names: string[] = [];
  const whole = path.startsWith("/") ? path : `${folder}/${path}`;
  for (const name of whole.split("/")) {
    if (name === "" || name === ".") continue;
    if (name === "..") names.pop();
    else names.push(name);
  }
  return `/${names.join("/")}`;
}

/** The last name of a path; "" for the top. */
export function remoteName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** The folder that a path is in; the top is in itself. */
export function remoteParent(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

export function joinRemote(folder: string, name: string): string {
  return folder === "/" ? `/${name}` : `${folder}/${name}`;
}
