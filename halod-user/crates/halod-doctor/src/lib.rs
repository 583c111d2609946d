//! What HaloD needs of the machine that it runs on: kernel, module, addresses, routes, sysctls,
//! firewall, store, certificates. [`look`] gathers [`Facts`] without changing anything, [`judge`] is
//! a pure function from them to [`Finding`]s, each with the commands that mend it.

mod facts;
mod finding;
mod judge;
mod look;
mod ruleset;

pub use facts::Facts;
pub use finding::{Finding, Level};
pub use judge::judge;
pub use look::{Where, look};
