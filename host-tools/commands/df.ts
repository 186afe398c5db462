// SPDX-License-Identifier: MIT
import { type FileCommand, standalone } from "../file-command";
import { formatBytes, formatTable } from "../render";
import type { RepositoryUsage } from "../repository/repository";
import { plural } from "../transfer-progress";

export const dfCommand: FileCommand = {
  command: "df",
  describe: "Show the room on each device and what the repository takes",
  completion: { arguments: ["none"], options: ["--json"] },
  builder: (yargs) => yargs,
  run: async (_options, { output, session }) => {
    const repository = await session.repository();
    await repository.refresh();
    const usage = await repository.usage();
    output.result(usage, describe(usage));
  },
};

export const command = standalone(dfCommand);

function describe(usage: RepositoryUsage): string {
  const rows = usage.devices.map(({ name, capacityBytes, freeBytes, packBytes }) => {
    const usedBytes = Math.max(0, capacityBytes - freeBytes);
    const share = capacityBytes > 0 ? `${String(Math.ceil((100 * usedBytes) / capacityBytes))}%` : "-";
    return [name, ...[capacityBytes, usedBytes, freeBytes].map(formatBytes), share, formatBytes(packBytes)];
  });
  return [
    formatTable([["DEVICE", "CAPACITY", "USED", "FREE", "USE", "COFFER"], ...rows]),
    "",
    `The repository holds ${plural(usage.files, "file")} in ${plural(usage.directories, "folder")}, ` +
      `${formatBytes(usage.bytes)}; stored in ${formatBytes(usage.packBytes)}.`,
  ].join("\n");
}
