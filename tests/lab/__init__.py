"""The laboratory: a HaloD cluster in network namespaces, driven from one Python process.

::

    hd-clients                         hd-halod                            hd-n1 .. hd-n4
    203.0.113.2     --- clients ---  203.0.113.1
    2001:db8:3::2                    2001:db8:3::1        +--- n1 ---  192.0.2.11  2001:db8:2::11
                                                          |
    hd-app                           VIP 198.51.100.1     +--- n2 ---  192.0.2.12  2001:db8:2::12
    198.51.100.130  ----- app -----  198.51.100.129       |
    2001:db8:4::2                    2001:db8:4::1        +--- n3 ---  192.0.2.13  2001:db8:2::13
                                     VIP 2001:db8:100::1  |
                                       bridge "nodes" ----+--- n4 ---  192.0.2.14  2001:db8:2::14
                                     192.0.2.1, 2001:db8:2::1

Everything is a veth pair; the nodes' ends in hd-halod are ports of one bridge.
hd-halod routes between the networks and is everybody's default gateway. The
VIPs are on its loopback device. All addresses are for documentation.

Where to find what:

=============  =================================================================
addresses      the plan above as constants
paths          programs, module and kernel sources; each can be set by environment
netns          a namespace: entering it, running programs and event loops in it
topology       building and deleting the plan above
direct         nodes that have the VIPs, and a way back past HaloD
beyond         the same two routers away, with tunnels
direct_users   users of push servers there, a move, a death
routers        routers between HaloD and a host, with links of chosen MTUs
process        a program that was started: its log, its end
forked         the same of a Python program, in a fork of this one
wait           polling with a deadline
faults         failing allocations
flavour        which kernel this is, and what the debug one has found at the end
module, dmesg  insmod and rmmod; what the kernel said since a moment
kernel         the route table through the kernel's own netlink library
vector_files   the packet vectors, as tables and packets
echo           servers that say who they are, for tests of the data path alone
traffic        clients of them that keep talking and miss nothing
pieces         datagrams by hand, whole and in pieces
transfer       files through them, both ways at once, compared
wire           raw packets: sending them, and seeing what arrives
rawtcp         TCP by hand, segment by segment
synflood       SYNs of addresses that nobody has
pushserver     nginx with nchan
example        the push servers of docs/examples
agent_events   what agents tell on their event streams
machine        a node's machine: push server and agent; kill it, cut its link
peer           a node that speaks the protocol by itself
pki            certificates, by halodctl pki
daemon         halod: its configuration, process and control socket
cluster        daemon, machines and kernel together
subscribers    browsers: Server-Sent Events and WebSocket, reconnecting
streams        browsers of the example push server, which resume
polls          browsers of the example long-polling server
selection      the routes of listeners with one port
publisher      the application that publishes to users
checks         assertions with words
=============  =================================================================
"""
