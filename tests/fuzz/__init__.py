"""Requests and packets that nobody should send, and how to send many of them.

==================  ==============================================================
spec                the family's attributes and operations, read from its YAML
netlink_requests    requests: good tables, and what can be done to them
netlink             sending them, and knowing which table must be in force
packets             packets to begin with: the vectors, and captures
throw-packets.c     changes packets at random and sends them, fast
==================  ==============================================================
"""
