// SPDX-License-Identifier: MIT
/** The device in the Moddable simulator on Windows: the card is a folder, `config.cardFolder` of the manifest. */
import TCP from "embedded:io/socket/tcp";
import type { TcpClass } from "../guarded-tcp";
import { startSimulated } from "../start-simulated";

startSimulated(TCP as unknown as TcpClass);
