// SPDX-License-Identifier: MIT
/** Mocha's own dot reporter, closed by one plain line that a machine can read: "N passed, N failed, N skipped". */
const { reporters } = require("mocha");

module.exports = class SummaryReporter extends reporters.Dot {
  constructor(runner, options) {
    super(runner, options);
    runner.once("end", () => {
      const { passes = 0, failures = 0, pending = 0 } = this.stats;
      process.stdout.write(`${passes} passed, ${failures} failed, ${pending} skipped\n`);
    });
  }
};
