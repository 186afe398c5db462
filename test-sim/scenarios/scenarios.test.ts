// SPDX-License-Identifier: MIT
/** The scenarios on what every computer has; Moddable's simulator is in ../moddable/simulator.test.ts. */
import { hostNode } from "./host-node";
import { describeScenarios } from "./scenarios";
import { xsBoard } from "./xs-board";

for (const host of [hostNode, xsBoard]) describeScenarios(host.title, () => host);
