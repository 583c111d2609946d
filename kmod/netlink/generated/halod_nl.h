/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	kmod/netlink/halod.yaml */
/* YNL-GEN kernel header */
/* To regenerate run: scripts/netlink-gen KDIR */

#ifndef _LINUX_HALOD_GEN_H
#define _LINUX_HALOD_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <uapi/linux/halod.h>

/* Common nested types */
extern const struct nla_policy halod_drain_nl_policy[HALOD_A_DRAIN_UDP_LEFT + 1];
extern const struct nla_policy halod_listener_nl_policy[HALOD_A_LISTENER_DELIVER + 1];
extern const struct nla_policy halod_node_nl_policy[HALOD_A_NODE_TARGET + 1];
extern const struct nla_policy halod_run_nl_policy[HALOD_A_RUN_NODES + 1];
extern const struct nla_policy halod_target_nl_policy[HALOD_A_TARGET_PORT + 1];

int halod_nl_get_status_doit(struct sk_buff *skb, struct genl_info *info);
int halod_nl_get_table_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int halod_nl_commit_doit(struct sk_buff *skb, struct genl_info *info);
int halod_nl_flush_doit(struct sk_buff *skb, struct genl_info *info);
int halod_nl_get_counters_dumpit(struct sk_buff *skb,
				 struct netlink_callback *cb);
int halod_nl_get_fast_path_dumpit(struct sk_buff *skb,
				  struct netlink_callback *cb);
int halod_nl_get_devices_dumpit(struct sk_buff *skb,
				struct netlink_callback *cb);

enum {
	HALOD_NLGRP_TABLE,
};

extern struct genl_family halod_nl_family;

#endif /* _LINUX_HALOD_GEN_H */
