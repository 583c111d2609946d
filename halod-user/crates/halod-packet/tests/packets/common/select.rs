//! The keyed choice of a route, by another's SipHash.

use halod_packet::{Address, Select};
use siphasher::sip::SipHasher13;

/// The route, from 0, that a client has at a listener with one port.
pub fn route_of(key: [u8; 16], select: Select, client: (Address, u16), routes: u32) -> usize {
    let mut message = match client.0 {
        Address::V4(bytes) => bytes.to_vec(),
        Address::V6(bytes) => bytes.to_vec(),
    };
    if select == Select::Flow {
        message.extend(client.1.to_be_bytes());
    }
    let hash = SipHasher13::new_with_key(&key).hash(&message);
    (((hash >> 32) * u64::from(routes)) >> 32) as usize
}
