// SPDX-License-Identifier: GPL-2.0
/*
 * A packet source and sink that cost little and always the same.
 *
 * Orders are files in debugfs, in halod-bench/; device names are of the network
 * namespace of who writes:
 *
 *   records   binary: struct bench_record, as many as there are
 *   sink      "DEVICE": what arrives there is counted and dropped from now on
 *   send      "DEVICE FIRST FRAMES PACKETS VERIFY WALK": struct bench_order; returns when done
 *   result    of the last order: a line "sent N sunk N wrong N late N khz N", a line
 *             about the first wrong packet, then a line of ticks for each batch
 */
#include <linux/debugfs.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/timex.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "bench.h"

#define RECORDS_SIZE ((size_t)BENCH_RECORDS_MAX * sizeof(struct bench_record))
#define PACKETS_MAX (1 << 24)

static DEFINE_MUTEX(lock);	/* of all below */
static struct bench_record *records;
static unsigned int record_count;
static struct bench_result result;
static struct dentry *directory;

static struct net_device *find_device(const char *name)
{
	return dev_get_by_name(current->nsproxy->net_ns, name);
}

static ssize_t records_write(struct file *file, const char __user *from,
			     size_t size, loff_t *offset)
{
	ssize_t done;

	guard(mutex)(&lock);
	if (!*offset)
		record_count = 0;
	done = simple_write_to_buffer(records, RECORDS_SIZE, offset, from, size);
	if (done > 0)
		record_count = *offset / sizeof(*records);
	return done;
}

static const struct file_operations records_operations = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = records_write,
	.llseek = default_llseek,
};

/* Copies a short order from userspace as a string. */
static int order_text(char *text, size_t room, const char __user *from, size_t size)
{
	if (size >= room)
		return -EINVAL;
	if (copy_from_user(text, from, size))
		return -EFAULT;
	text[size] = '\0';
	return 0;
}

static ssize_t sink_write(struct file *file, const char __user *from,
			  size_t size, loff_t *offset)
{
	char text[64], name[IFNAMSIZ];
	struct net_device *device;
	int error = order_text(text, sizeof(text), from, size);

	if (error)
		return error;
	if (sscanf(text, "%15s", name) != 1)
		return -EINVAL;
	device = find_device(name);
	if (!device)
		return -ENODEV;
	error = sink_attach(device);
	dev_put(device);
	return error ?: size;
}

static const struct file_operations sink_operations = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = sink_write,
	.llseek = default_llseek,
};

static bool record_sound(const struct bench_record *record, bool walks)
{
	const struct iphdr *ip = (const void *)(record->frame + ETH_HLEN);

	return record->length > ETH_HLEN + 40 - 1 &&
	       record->length <= BENCH_FRAME_MAX &&
	       record->expect_length <= BENCH_EXPECT_MAX &&
	       (!walks || (ip->version == 4 && ip->protocol == IPPROTO_TCP));
}

static int check_order(const struct bench_order *order)
{
	unsigned int i;

	if (!order->frames || !order->packets || order->packets > PACKETS_MAX ||
	    order->verify > BENCH_VERIFY_MAX || order->first >= record_count ||
	    order->frames > record_count - order->first)
		return -EINVAL;
	for (i = 0; i < order->frames; i++)
		if (!record_sound(&records[order->first + i], order->walk))
			return -EINVAL;
	return 0;
}

static int run_order(const struct bench_order *order)
{
	unsigned int batches = DIV_ROUND_UP(order->packets, BENCH_BATCH);
	int error = check_order(order);

	if (error)
		return error;
	vfree(result.ticks);
	result = (struct bench_result){ .ticks = vcalloc(batches, sizeof(u32)) };
	if (!result.ticks)
		return -ENOMEM;
	sink_prepare(records, record_count, order->verify, order->walk);
	return source_run(order, records, &result);
}

static ssize_t send_write(struct file *file, const char __user *from,
			  size_t size, loff_t *offset)
{
	char text[128], name[IFNAMSIZ];
	struct bench_order order;
	int error = order_text(text, sizeof(text), from, size);

	if (error)
		return error;
	if (sscanf(text, "%15s %u %u %u %u %u", name, &order.first, &order.frames,
		   &order.packets, &order.verify, &order.walk) != 6)
		return -EINVAL;
	order.device = find_device(name);
	if (!order.device)
		return -ENODEV;
	scoped_guard(mutex, &lock)
		error = run_order(&order);
	dev_put(order.device);
	return error ?: size;
}

static const struct file_operations send_operations = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = send_write,
	.llseek = default_llseek,
};

static int result_show(struct seq_file *seq, void *unused)
{
	unsigned int i;

	guard(mutex)(&lock);
	seq_printf(seq, "sent %llu sunk %llu wrong %llu late %u khz %u\n%s\n",
		   result.sent, result.sunk, result.wrong, result.late, tsc_khz,
		   sink_first_wrong());
	for (i = 0; i < result.batches; i++)
		seq_printf(seq, "%u\n", result.ticks[i]);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(result);

static int __init bench_init(void)
{
	int error;

	records = vzalloc(RECORDS_SIZE);
	if (!records)
		return -ENOMEM;
	error = sink_init();
	if (error) {
		vfree(records);
		return error;
	}
	directory = debugfs_create_dir("halod-bench", NULL);
	debugfs_create_file("records", 0200, directory, NULL, &records_operations);
	debugfs_create_file("sink", 0200, directory, NULL, &sink_operations);
	debugfs_create_file("send", 0200, directory, NULL, &send_operations);
	debugfs_create_file("result", 0400, directory, NULL, &result_fops);
	return 0;
}

static void __exit bench_exit(void)
{
	debugfs_remove(directory);
	sink_exit();
	vfree(result.ticks);
	vfree(records);
}

module_init(bench_init);
module_exit(bench_exit);
MODULE_DESCRIPTION("HaloD's benchmark: packet source and sink");
MODULE_LICENSE("GPL");
