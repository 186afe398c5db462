// SPDX-License-Identifier: MIT
/**
 * A port's contract as cases that run anywhere: under mocha on Node, and inside XS on the board. So nothing here may use
 * Node; failures are thrown Errors.
 */

export interface PortCase<Port> {
  /** The sentence of the contract that it proves. */
  name: string;
  run(port: Port): Promise<void>;
}

export function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

export function equal(found: unknown, expected: unknown, what: string): void {
  if (found !== expected) throw new Error(`${what}: expected ${String(expected)}, got ${String(found)}`);
}

export function equalBytes(found: Uint8Array, expected: Uint8Array, what: string): void {
  equal(found.length, expected.length, `${what}, length`);
  for (let i = 0; i < found.length; i++) equal(found[i], expected[i], `${what}, byte ${String(i)}`);
}

/** `code` of what is thrown, or the class's name when it has none. */
export function refusalOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).constructor.name;
  }
  return "nothing thrown";
}

/** Bytes that differ from place to place. */
export function pattern(length: number, start = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = ((i + start) * 167 + ((i + start) >> 8)) & 255;
  return bytes;
}

export function fromHex(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
