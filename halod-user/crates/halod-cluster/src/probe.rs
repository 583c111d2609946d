use std::net::SocketAddr;

use halod_proto::Protocol;

use crate::{Action, Cluster, NodeId, ProbeId, endpoints};

impl Cluster {
    /// The probe of an active node's application: its port of a TCP listener, of its first
    /// route where each has one.
    pub(crate) fn probe(&mut self, id: NodeId, delay_ms: u32) -> Option<Action> {
        let node = self.members.get(id)?;
        let route = self.slots.assignment().held_by(node.slot?).next()?;
        let tcp = self
            .config
            .listeners
            .iter()
            .filter(|listener| listener.protocol == Protocol::Tcp);
        let address = tcp.into_iter().find_map(|listener| {
            let family = listener.address.is_ipv4();
            let address = node.addresses.iter().find(|a| a.is_ipv4() == family)?;
            let offset = if listener.select.is_port() {
                route - 1
            } else {
                0
            };
            let port = u32::from(endpoints::node_port(listener, &node.ports)) + offset;
            Some(SocketAddr::new(*address, u16::try_from(port).ok()?))
        })?;
        let timeout = self.config.silence_ms().min(self.config.rejoin_ms.into());
        self.probes += 1;
        let probe = ProbeId(self.probes);
        self.members.get_mut(id)?.probe = Some(probe);
        Some(Action::Probe {
            probe,
            node: id,
            address,
            delay_ms,
            timeout_ms: u32::try_from(timeout).unwrap_or(u32::MAX).max(1),
        })
    }
}
