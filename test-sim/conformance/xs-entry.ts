// SPDX-License-Identifier: MIT
/** Firmware of the XS board that runs one case of one port inside the engine and tells how it went. */
import { HostLink } from "../../firmware/platform/xs-board/host-link";
import { HostOp } from "../../firmware/platform/xs-board/host-protocol";
import { createXsPorts } from "../../firmware/platform/xs-board/xs-ports";
import { cryptoCases } from "./crypto-cases";
import { networkCases } from "./network-cases";
import { storageCases } from "./storage-cases";
import { systemCases } from "./system-cases";

export default function start(): void {
  const link = new HostLink();
  const answer = link.start(HostOp.config).call().buffer as ArrayBuffer;
  const { suite, index, peer } = JSON.parse(String.fromArrayBuffer(answer)) as {
    suite: string;
    index: number;
    peer: never;
  };
  const ports = createXsPorts(link);
  const run = async (): Promise<void> => {
    if (suite === "storage") await storageCases[index]?.run(ports.storage);
    else if (suite === "crypto") await cryptoCases[index]?.run(ports.crypto);
    else if (suite === "system") await systemCases[index]?.run(ports);
    else await networkCases[index]?.run({ ...ports, peer });
  };
  run().then(
    () => {
      hostTrace("passed");
    },
    (error: unknown) => {
      hostTrace(`failed ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    },
  );
}
