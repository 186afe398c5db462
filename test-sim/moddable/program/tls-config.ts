// SPDX-License-Identifier: MIT
/** In place of "mc/config", which command-line programs do not have: as in the root manifest. */
export default Object.freeze({ tls: Object.freeze({ DHE_RSA: false, ECDHE_RSA: true }) });
