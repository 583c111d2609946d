"""The benchmark's rig: instructions a packet, of HaloD and of its peers, in one guest.

::

    clients                     balancer                     nodes
    203.0.113.2   --- clients  203.0.113.1
    2001:db8:3::2               VIP 198.51.100.1
      source, sink              VIP 2001:db8:100::1
                                192.0.2.1  nodes ---  192.0.2.11 ..     2001:db8:2::11 ..
                                                        source, sink

Every path has three namespaces of its own, with the same addresses, joined by
two veth pairs. The kernel module in tests/bench/generator sends frames made
here from one end, and counts what arrives at the other.

=========  ====================================================================
frames     the packets, and what is to become of them
source     the module's orders and results
world      the namespaces of one path
path       a path of packets, its rows, measuring them
halod      HaloD's own paths
peers      everything that HaloD is compared with
growth     what grows with connections: memory, and the cost of new ones
commits    how long a commit takes, and whether it costs a packet
results    figures, net costs, ratios; the file they are kept in
table      results as a table
grown      what growth and commits have found, as tables
plot       results as an SVG
profile    the functions that a packet's instructions are in
=========  ====================================================================
"""
