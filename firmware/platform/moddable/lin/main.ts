// SPDX-License-Identifier: MIT
/** The device in the Moddable simulator on Linux: the card is a folder, `config.cardFolder` of the manifest. */
import { startSimulated } from "../start-simulated";
import CofferTcp from "./coffer-tcp";

startSimulated(CofferTcp);
