/* SPDX-License-Identifier: GPL-2.0 */
/* What bindgen reads: see Kbuild for the names that are taken from it. */
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <net/netfilter/ipv4/nf_defrag_ipv4.h>
#include <net/netfilter/ipv6/nf_defrag_ipv6.h>

#include "deliver.h"
#include "helpers.h"
#include "ingress.h"
#include "tunnel.h"
#include "halod_nl.h"
