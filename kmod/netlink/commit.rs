// SPDX-License-Identifier: GPL-2.0

//! `commit` and `flush`: parse the request into a table, then build it, then put it into force.

use kernel::prelude::*;

use crate::ffi::bindings as uapi;
use crate::ffi::genl::{Reply, Request};
use crate::namespace::{CommitError, Namespace};
use crate::netlink::{parse, status};

/// Room for the answer.
const REPLY_SIZE: usize = 16;

/// Answers `commit`.
pub(crate) fn commit(request: &Request<'_>, namespace: Pin<&Namespace>) -> Result {
    let (expected, generation) = parse::generations(request)?;
    let Some(expected) = expected else {
        return Err(request.refuse(
            EINVAL,
            None,
            format_args!("expected-generation is missing: say which table is to be replaced"),
        ));
    };
    let reply = request.prepare(REPLY_SIZE)?;
    let table = parse::table(request)?;
    let current = namespace
        .commit(request.net(), table, expected, generation)
        .map_err(|error| refused(request, error, expected, generation))?;
    finish(request, reply, namespace, current);
    Ok(())
}

/// Answers `flush`.
pub(crate) fn flush(request: &Request<'_>, namespace: Pin<&Namespace>) -> Result {
    let (expected, _) = parse::generations(request)?;
    let reply = request.prepare(REPLY_SIZE)?;
    let current = namespace
        .flush(expected)
        .map_err(|error| refused(request, error, expected.unwrap_or(0), None))?;
    finish(request, reply, namespace, current);
    Ok(())
}

/// Tells everybody, then the sender. The change stands, so nothing that goes wrong here is an error
/// of the request: `reply` has its memory from before, and a sender whose socket is full is told
/// so by the socket (ENOBUFS).
fn finish(request: &Request<'_>, reply: Reply<'_>, namespace: Pin<&Namespace>, current: u64) {
    status::announce(request.net(), namespace);
    let _ = reply.send(|message| message.put_u64(uapi::HALOD_A_TABLE_GENERATION as u16, current));
}

/// Says why a table did not come into force.
fn refused(
    request: &Request<'_>,
    error: CommitError,
    expected: u64,
    generation: Option<u64>,
) -> Error {
    match error {
        CommitError::Stale { current } => request.refuse(
            ESTALE,
            None,
            format_args!("generation {current} is in force, not {expected}"),
        ),
        CommitError::NotRising { current } => request.refuse(
            EINVAL,
            None,
            format_args!(
                "generation {} does not come after {current}",
                generation.unwrap_or(0)
            ),
        ),
        CommitError::Refused(refusal) => request.refuse(EINVAL, None, format_args!("{refusal}")),
        CommitError::Failed(error) => error,
    }
}
