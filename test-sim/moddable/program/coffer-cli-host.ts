// SPDX-License-Identifier: MIT
/** The natives of coffer-cli-host.c. */

export function print(this: unknown, line: string): void {
  native("xs_coffer_host_print").call(this, line);
}

export function argument(this: unknown, index: number): string | undefined {
  return native("xs_coffer_host_argument").call(this, index) as string | undefined;
}

export function exit(this: unknown, status: number): void {
  native("xs_coffer_host_exit").call(this, status);
}
