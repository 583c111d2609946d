// SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
/* Do not edit directly, auto-generated from: */
/*	kmod/netlink/halod.yaml */
/* YNL-GEN kernel source */
/* To regenerate run: scripts/netlink-gen KDIR */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "halod_nl.h"

#include <uapi/linux/halod.h>

/* Integer value ranges */
static const struct netlink_range_validation halod_a_table_routes_range = {
	.min	= 1ULL,
	.max	= HALOD_MAX_ROUTES,
};

/* Common nested types */
const struct nla_policy halod_drain_nl_policy[HALOD_A_DRAIN_UDP_LEFT + 1] = {
	[HALOD_A_DRAIN_ROUTE] = NLA_POLICY_MIN(NLA_U32, 1),
	[HALOD_A_DRAIN_NODE] = NLA_POLICY_MIN_LEN(4),
	[HALOD_A_DRAIN_LEFT] = NLA_POLICY_MIN_LEN(4),
	[HALOD_A_DRAIN_UDP_LEFT] = { .type = NLA_U32, },
};

const struct nla_policy halod_listener_nl_policy[HALOD_A_LISTENER_DELIVER + 1] = {
	[HALOD_A_LISTENER_NAME] = { .type = NLA_NUL_STRING, .len = HALOD_NAME_MAX, },
	[HALOD_A_LISTENER_ADDRESS] = NLA_POLICY_MAX_LEN(16),
	[HALOD_A_LISTENER_PROTOCOL] = { .type = NLA_U8, },
	[HALOD_A_LISTENER_PORT] = NLA_POLICY_MIN(NLA_U16, 1),
	[HALOD_A_LISTENER_NODE_PORT] = NLA_POLICY_MIN(NLA_U16, 1),
	[HALOD_A_LISTENER_SELECT] = NLA_POLICY_MAX(NLA_U8, 2),
	[HALOD_A_LISTENER_DELIVER] = NLA_POLICY_MAX(NLA_U8, 2),
};

const struct nla_policy halod_node_nl_policy[HALOD_A_NODE_TARGET + 1] = {
	[HALOD_A_NODE_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[HALOD_A_NODE_NAME] = { .type = NLA_NUL_STRING, .len = HALOD_NAME_MAX, },
	[HALOD_A_NODE_ADDRESS] = NLA_POLICY_MAX_LEN(16),
	[HALOD_A_NODE_TARGET] = NLA_POLICY_NESTED(halod_target_nl_policy),
};

const struct nla_policy halod_run_nl_policy[HALOD_A_RUN_NODES + 1] = {
	[HALOD_A_RUN_FIRST] = NLA_POLICY_MIN(NLA_U32, 1),
	[HALOD_A_RUN_NODES] = NLA_POLICY_MIN_LEN(4),
};

const struct nla_policy halod_target_nl_policy[HALOD_A_TARGET_PORT + 1] = {
	[HALOD_A_TARGET_LISTENER] = { .type = NLA_U32, },
	[HALOD_A_TARGET_PORT] = NLA_POLICY_MIN(NLA_U16, 1),
};

/* HALOD_CMD_COMMIT - do */
static const struct nla_policy halod_commit_nl_policy[HALOD_A_TABLE_FAST_PATH + 1] = {
	[HALOD_A_TABLE_EXPECTED_GENERATION] = { .type = NLA_U64, },
	[HALOD_A_TABLE_GENERATION] = { .type = NLA_U64, },
	[HALOD_A_TABLE_ROUTES] = NLA_POLICY_FULL_RANGE(NLA_U32, &halod_a_table_routes_range),
	[HALOD_A_TABLE_LISTENER] = NLA_POLICY_NESTED(halod_listener_nl_policy),
	[HALOD_A_TABLE_NODE] = NLA_POLICY_NESTED(halod_node_nl_policy),
	[HALOD_A_TABLE_RUN] = NLA_POLICY_NESTED(halod_run_nl_policy),
	[HALOD_A_TABLE_DRAIN] = NLA_POLICY_NESTED(halod_drain_nl_policy),
	[HALOD_A_TABLE_SELECT_KEY] = NLA_POLICY_EXACT_LEN(16),
	[HALOD_A_TABLE_FAST_PATH] = NLA_POLICY_MAX(NLA_U8, 2),
};

/* HALOD_CMD_FLUSH - do */
static const struct nla_policy halod_flush_nl_policy[HALOD_A_TABLE_EXPECTED_GENERATION + 1] = {
	[HALOD_A_TABLE_EXPECTED_GENERATION] = { .type = NLA_U64, },
};

/* Ops table for halod */
static const struct genl_split_ops halod_nl_ops[] = {
	{
		.cmd	= HALOD_CMD_GET_STATUS,
		.doit	= halod_nl_get_status_doit,
		.flags	= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd	= HALOD_CMD_GET_TABLE,
		.dumpit	= halod_nl_get_table_dumpit,
		.flags	= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= HALOD_CMD_COMMIT,
		.doit		= halod_nl_commit_doit,
		.policy		= halod_commit_nl_policy,
		.maxattr	= HALOD_A_TABLE_FAST_PATH,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= HALOD_CMD_FLUSH,
		.doit		= halod_nl_flush_doit,
		.policy		= halod_flush_nl_policy,
		.maxattr	= HALOD_A_TABLE_EXPECTED_GENERATION,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd	= HALOD_CMD_GET_COUNTERS,
		.dumpit	= halod_nl_get_counters_dumpit,
		.flags	= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd	= HALOD_CMD_GET_FAST_PATH,
		.dumpit	= halod_nl_get_fast_path_dumpit,
		.flags	= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd	= HALOD_CMD_GET_DEVICES,
		.dumpit	= halod_nl_get_devices_dumpit,
		.flags	= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
};

static const struct genl_multicast_group halod_nl_mcgrps[] = {
	[HALOD_NLGRP_TABLE] = { "table", },
};

struct genl_family halod_nl_family __ro_after_init = {
	.name		= HALOD_FAMILY_NAME,
	.version	= HALOD_FAMILY_VERSION,
	.netnsok	= true,
	.parallel_ops	= true,
	.module		= THIS_MODULE,
	.split_ops	= halod_nl_ops,
	.n_split_ops	= ARRAY_SIZE(halod_nl_ops),
	.mcgrps		= halod_nl_mcgrps,
	.n_mcgrps	= ARRAY_SIZE(halod_nl_mcgrps),
};
