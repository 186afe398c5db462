// SPDX-License-Identifier: MIT
/** Firmware of the XS board that runs the protocol checks inside the engine and tells how they went, in one line. */
import { HostLink } from "../../firmware/platform/xs-board/host-link";
import { HostOp } from "../../firmware/platform/xs-board/host-protocol";
import { createXsPorts } from "../../firmware/platform/xs-board/xs-ports";
import { runProtocolChecks } from "./protocol-checks";
import type { CheckOptions } from "./protocol-checks";
import type { ProtocolVectors } from "./protocol-vectors";

/** Problems told at most: one line holds no more. */
const MAX_TOLD = 5;

export default function start(): void {
  const link = new HostLink();
  const answer = link.start(HostOp.config).call().buffer as ArrayBuffer;
  const { vectors, options } = JSON.parse(String.fromArrayBuffer(answer)) as {
    vectors: ProtocolVectors;
    options: CheckOptions;
  };
  const problems: string[] = [];
  let checks = 0;
  runProtocolChecks(
    vectors,
    createXsPorts(link).crypto,
    (name, problem) => {
      checks++;
      if (problem !== undefined) problems.push(`${name}: ${problem}`);
    },
    options,
  );
  hostTrace(
    `info ${String(checks)} checks, ${String(problems.length)} failed. ${problems.slice(0, MAX_TOLD).join("; ")}`,
  );
}
