//! The cluster, driven by a simulated caller and simulated nodes. Whatever a test does, every
//! single event goes through the checks of `oracle`.

mod admission;
mod agent;
mod connections;
mod drains;
mod expected;
mod flapping;
mod flaps;
mod leaving;
mod ledger;
mod loss;
mod operator;
mod oracle;
mod random;
mod restart;
mod scaling;
mod sim;
#[path = "../../../halod-routes/tests/twin/mod.rs"]
mod twin;
