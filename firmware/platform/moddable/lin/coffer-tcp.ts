// SPDX-License-Identifier: MIT
/** TCP on Linux: the natives of coffer-tcp.c in the shape of ECMA-419. */
import type { TcpOptions, TcpSocket } from "../guarded-tcp";

export default class CofferTcp extends Native("xs_coffer_tcp_destructor") implements TcpSocket {
  /** Called by name from C. */
  readonly onReadable: (count: number) => void;
  readonly onWritable: (count: number) => void;
  readonly onError: () => void;

  constructor(options: TcpOptions) {
    super();
    this.onReadable = options.onReadable;
    this.onWritable = options.onWritable;
    this.onError = options.onError;
    this.#connect(options.address, options.port);
  }

  read(into: Uint8Array): unknown {
    return native("xs_coffer_tcp_read").call(this, into);
  }

  write(bytes: Uint8Array): unknown {
    return native("xs_coffer_tcp_write").call(this, bytes);
  }

  close(): void {
    native("xs_coffer_tcp_close").call(this);
  }

  #connect(address: string, port: number): void {
    native("xs_coffer_tcp_connect").call(this, address, port);
  }
}
