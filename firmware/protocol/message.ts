// SPDX-License-Identifier: MIT
/**
 * Messages declared as an ordered list of fields: one declaration gives encoder and decoder, so that they cannot
 * disagree. Fixed order, big-endian, no tags, no padding. Decoders are total: any bytes give a value or a DataError,
 * and nothing is allocated from a length that was not checked against its limit and the bytes present.
 */
import { ByteReader } from "./byte-reader";
import { ByteWriter } from "./byte-writer";
import { DataError } from "./data-error";
import { decodeUtf8, encodeUtf8 } from "./utf8";

export interface Field<T> {
  size(value: T): number;
  write(writer: ByteWriter, value: T): void;
  read(reader: ByteReader): T;
}

export const u8: Field<number> = {
  size: () => 1,
  write: (writer, value) => {
    writer.u8(value);
  },
  read: (reader) => reader.u8(),
};

export const u16: Field<number> = {
  size: () => 2,
  write: (writer, value) => {
    writer.u16(value);
  },
  read: (reader) => reader.u16(),
};

export const u32: Field<number> = {
  size: () => 4,
  write: (writer, value) => {
    writer.u32(value);
  },
  read: (reader) => reader.u32(),
};

/** Eight bytes, at most 2^53 - 1. */
export const u53: Field<number> = {
  size: () => 8,
  write: (writer, value) => {
    writer.u53(value);
  },
  read: (reader) => reader.u53(),
};

/** One byte, 0 or 1. */
export const flag: Field<boolean> = {
  size: () => 1,
  write: (writer, value) => {
    writer.u8(value ? 1 : 0);
  },
  read: (reader) => {
    const value = reader.u8();
    if (value > 1) throw new DataError("range", "flag: expected 0 or 1");
    return value === 1;
  },
};

/** Not `slice`: a Buffer's, on Node, is a view. */
function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** Exactly `count` bytes. Decoded values are copies. */
export function fixed(count: number): Field<Uint8Array> {
  return {
    size: () => count,
    write: (writer, value) => {
      if (value.length !== count)
        throw new RangeError(`bytes: expected ${String(count)}, got ${String(value.length)}`);
      writer.put(value);
    },
    read: (reader) => copyOf(reader.take(count)),
  };
}

/** Two bytes of length, then at most `limit` bytes. Decoded values are copies. */
export function variable(limit: number): Field<Uint8Array> {
  return {
    size: (value) => 2 + value.length,
    write: (writer, value) => {
      if (value.length > limit)
        throw new RangeError(`bytes: expected 0..${String(limit)}, got ${String(value.length)}`);
      writer.u16(value.length);
      writer.put(value);
    },
    read: (reader) => {
      const length = reader.u16();
      if (length > limit) throw new DataError("range", `length ${String(length)} above ${String(limit)}`);
      return copyOf(reader.take(length));
    },
  };
}

/** UTF-8 of at most `limit` bytes, no control characters (C0, DEL, C1): it ends up on terminals. */
export function text(limit: number): Field<string> {
  const bytes = variable(limit);
  return {
    size: (value) => bytes.size(encodeUtf8(value)),
    write: (writer, value) => {
      if (hasControl(value)) throw new RangeError("text: control character");
      bytes.write(writer, encodeUtf8(value));
    },
    read: (reader) => {
      const value = decodeUtf8(bytes.read(reader));
      if (hasControl(value)) throw new DataError("text", "control character");
      return value;
    },
  };
}

/** Any text, made to fit a `text(limit)`: control characters become spaces, what is too long is cut. */
export function fitText(value: string, limit: number): string {
  let fitted = "";
  let bytes = 0;
  for (const character of value) {
    const point = character.codePointAt(0) ?? 0;
    const isSurrogate = point >= 0xd800 && point <= 0xdfff;
    const kept = hasControl(character) ? " " : isSurrogate ? "?" : character;
    bytes += encodeUtf8(kept).length;
    if (bytes > limit) break;
    fitted += kept;
  }
  return fitted;
}

function hasControl(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return true;
  }
  return false;
}

/** Two bytes of count, then at most `limit` items. */
export function list<T>(item: Field<T>, limit: number): Field<T[]> {
  return {
    size: (values) => values.reduce((sum, value) => sum + item.size(value), 2),
    write: (writer, values) => {
      if (values.length > limit)
        throw new RangeError(`list: expected 0..${String(limit)}, got ${String(values.length)}`);
      writer.u16(values.length);
      for (const value of values) item.write(writer, value);
    },
    read: (reader) => {
      const count = reader.u16();
      if (count > limit) throw new DataError("range", `count ${String(count)} above ${String(limit)}`);
      const values: T[] = [];
      for (let i = 0; i < count; i++) values.push(item.read(reader));
      return values;
    },
  };
}

/** Fields one after the other. */
export function record<T extends object>(fields: { [K in keyof T]: Field<T[K]> }): Field<T> {
  const names = Object.keys(fields) as (keyof T)[];
  return {
    size: (value) => names.reduce((sum, name) => sum + fields[name].size(value[name]), 0),
    write: (writer, value) => {
      for (const name of names) fields[name].write(writer, value[name]);
    },
    read: (reader) => {
      const value: Partial<T> = {};
      for (const name of names) value[name] = fields[name].read(reader);
      return value as T;
    },
  };
}

/** Encodes a whole value. RangeError when a field is outside its limit. */
export function encode<T>(field: Field<T>, value: T): Uint8Array {
  const bytes = new Uint8Array(field.size(value));
  field.write(new ByteWriter(bytes), value);
  return bytes;
}

/** Decodes exactly one value: bytes left over are a DataError "long". */
export function decode<T>(field: Field<T>, bytes: Uint8Array): T {
  const reader = new ByteReader(bytes);
  const value = field.read(reader);
  reader.end();
  return value;
}
