// SPDX-License-Identifier: MIT
/**
 * The exit statuses of `coffer`: one distinct small number for each kind of refusal, so that a script can tell
 * them apart without reading a sentence. The numbers are a public promise: add new ones, never renumber.
 * 126 and above belong to the shell (128 + signal number), so every status stays below.
 */

export const ExitStatus = {
  /** Everything asked for was done. */
  ok: 0,
  /** Something nobody foresaw: a defect in Coffer. */
  unexpected: 1,
  /** The command line makes no sense: unknown command or option, a malformed value. */
  usage: 2,
  /** `coffer init` has not been run in this state folder. */
  notInitialised: 3,
  /** What was to be made is already there. */
  alreadyExists: 4,
  /** The passphrase does not open the repository keys. */
  wrongPassphrase: 5,
  /** A passphrase is needed and there is nobody to ask. */
  noPassphrase: 6,
  /** The state folder or a file of the repository was written by a newer Coffer. */
  newerVersion: 7,
  /** A file of the state folder is missing, unreadable or makes no sense. */
  damagedState: 8,
  /** The keychain of the system is missing, locked or has lost its key. */
  keychainUnusable: 9,

  /** A certificate's last day has passed, or its first has not come. */
  certificateExpired: 10,
  /** A certificate was signed by an authority that is not ours. */
  certificateForeign: 11,
  /** A certificate is on its authority's list of revoked ones. */
  certificateRevoked: 12,
  /** A certificate is good but for another role, for example a device's used as a client's. */
  wrongRole: 13,
  /** The named certificate or identity does not exist here. */
  unknownIdentity: 14,
  /** A computer could not be added: the code is used, expired or not the other side's. */
  enrolmentFailed: 15,

  /** No device of that name is paired, or the relay's authority knows none. */
  unknownDevice: 20,
  /** The device is paired but not connected to the relay. */
  deviceOffline: 21,
  /** The device serves as many clients as it can; trying later will help. */
  deviceBusy: 22,
  /** The device answers only "locked": its keyholders have not opened it. */
  deviceLocked: 23,
  /** The device and this computer do not share the pairing secret. */
  pairingFailed: 24,
  /** The device is in safe mode: after several starts that failed it serves its status and its log only. */
  deviceInSafeMode: 25,
  /** A device's firmware that ran on this computer ended by an exception that nobody caught. */
  firmwareException: 26,

  /** No connection to the relay could be made. */
  relayUnreachable: 30,
  /** The connection broke, and trying again did not help within the time allowed. */
  connectionLost: 31,
  /** The address and port to listen on are taken or not allowed. */
  cannotListen: 32,

  /** The device's card is full. */
  cardFull: 40,
  /** The device could not read or write its card. */
  cardFailed: 41,
  /** A blob's bytes are not those that were stored. */
  corruptedBlob: 42,
  /** A blob that the repository needs is on none of the devices asked. */
  missingBlob: 43,
  /** A log was rolled back, forked, truncated or spliced. */
  logTampered: 44,
  /** `coffer verify` found damage, or `coffer repair` could not put all of it right. */
  damageFound: 45,

  /** The remote path does not exist. */
  pathNotFound: 50,
  /** Something else already has that name. */
  nameCollision: 51,
  /** A folder where a file is needed, or the other way round. */
  wrongKind: 52,
  /** The folder still has something in it. */
  folderNotEmpty: 53,
  /** The local path does not exist. */
  localPathNotFound: 54,
  /** There is no such version or tag, no version as old as the time named, or the version was forgotten. */
  unknownVersion: 55,
  /** The version is tagged or the current one of a computer, and is not forgotten. */
  versionInUse: 56,

  /** The local disk is full. */
  localDiskFull: 60,
  /** The local disk could not be read or written. */
  localIo: 61,
  /** The local system does not allow it. */
  localPermission: 62,
  /** Some of the local files could not be read and were left out; the others are stored. */
  incomplete: 63,
  /** Another process serves the folder already. */
  folderInUse: 64,

  /** The other side sent what no honest peer sends. */
  protocolViolation: 70,
  /** The other side speaks another version of the protocol. */
  protocolVersion: 71,

  /** A tool or program that this command needs is not installed. */
  missingTool: 80,
  /** `coffer doctor` found something that has to be put right. */
  doctorFindings: 81,
  /** The command is known but this version cannot do it yet. */
  notAvailable: 82,

  /** Stopped by Ctrl-C or a termination signal before it was done. */
  interrupted: 100,
} as const;

export type ExitStatusName = keyof typeof ExitStatus;
export type ExitStatusCode = (typeof ExitStatus)[ExitStatusName];

/** The name of a status, as `--json` prints it beside the number. */
export function exitStatusName(status: number): ExitStatusName {
  for (const [name, code] of Object.entries(ExitStatus)) if (code === status) return name as ExitStatusName;
  return "unexpected";
}
