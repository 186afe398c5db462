// SPDX-License-Identifier: MIT
/** A page to print: everything that is needed to get at the repository when passphrase and computers are lost. */

export interface RecoverySheet {
  /** Of the code; drawn for paper. */
  qrCode: string;
  repositoryId: string;
  label: string;
  slotId: string;
  code: string;
  createdAt: Date;
}

export function recoverySheet(sheet: RecoverySheet): string {
  const { repositoryId, label, slotId, code, qrCode, createdAt } = sheet;
  return `COFFER RECOVERY SHEET

Repository   ${repositoryId}
Slot         ${slotId}  ${label}
Made         ${createdAt.toISOString().slice(0, 10)}

Recovery code

    ${code.slice(0, 28)}
    ${code.slice(29)}

${qrCode}

Whoever has this code and reaches a device of the repository can read
everything in it. Print the page, lock it away, delete the file.

To use it, on a computer with Coffer that is allowed on the relay:

  1. Run any command, for example: coffer ls
  2. Where it asks for the passphrase, type the code: both lines as one,
     with CFR1, dashes or blanks between the groups. Capitals or not, the
     letter O for zero, I or L for one: it does not matter. A mistyped
     group is named.
  3. Choose a new passphrase: coffer key add

When the sheet is lost or was seen: coffer key remove ${slotId}
`;
}
