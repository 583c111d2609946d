/* SPDX-License-Identifier: GPL-2.0 */
/* What C files here share and bindgen need not see. */
#ifndef _HALOD_INLINE_H
#define _HALOD_INLINE_H

#include <linux/percpu.h>
#include <net/route.h>

/* Per-CPU pointers are of another address space, which Rust does not know. */
#define counters_of(percpu) \
	((u64 __percpu *)(unsigned long __force)(percpu))

static __always_inline bool route4_holds(const struct dst_entry *dst)
{
	/* As ipv4_dst_check() has it. */
	return READ_ONCE(dst->obsolete) == DST_OBSOLETE_FORCE_CHK &&
	       dst_rtable(dst)->rt_genid ==
		       rt_genid_ipv4(dev_net_rcu(dst_dev_rcu(dst)));
}

#endif /* _HALOD_INLINE_H */
