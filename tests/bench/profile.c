// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A plugin for QEMU's TCG: which instructions the guest executes while a batch
 * of the benchmark is on its way. The packet source marks begin and end by
 * instructions that do nothing (BENCH_MARK in generator/source.c).
 *
 * At the end it writes a line "batches N", and then a line "ADDRESS COUNT" for
 * each instruction of each translated block.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The part of qemu-plugin.h that is needed: Debian has no package of it. */
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t;
typedef void (*exec_callback)(unsigned int cpu, void *data);
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
	void (*callback)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
	exec_callback callback, int flags, void *data);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
	exec_callback callback, int flags, void *data);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id,
	void (*callback)(qemu_plugin_id_t id, void *data), void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
extern size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *data, size_t size);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

__attribute__((visibility("default"))) int qemu_plugin_version = 4;

/* A translated block: its instructions' addresses, and how often it has run. */
struct block {
	struct block *next;
	uint64_t runs;
	size_t count;
	uint64_t address[];
};

static struct block *blocks;
static bool counting;
static uint64_t batches;
static const char *output;

static void block_runs(unsigned int cpu, void *data)
{
	struct block *block = data;

	block->runs += counting;
}

static void mark(unsigned int cpu, void *data)
{
	counting = data != NULL;
	batches += counting;
}

/* nopl MARK(%rax) */
static bool is_mark(const struct qemu_plugin_insn *insn, char last)
{
	const unsigned char wanted[] = { 0x0f, 0x1f, 0x80, 'h', 'l', 'd', last };
	unsigned char found[sizeof(wanted)];

	return qemu_plugin_insn_data(insn, found, sizeof(found)) == sizeof(found) &&
	       !memcmp(found, wanted, sizeof(found));
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t count = qemu_plugin_tb_n_insns(tb), i;
	struct block *block = malloc(sizeof(*block) + count * sizeof(uint64_t));

	if (!block)
		abort();
	*block = (struct block){ .next = blocks, .count = count };
	blocks = block;
	for (i = 0; i < count; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		block->address[i] = qemu_plugin_insn_vaddr(insn);
		if (is_mark(insn, '+'))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, mark, 0, block);
		else if (is_mark(insn, '-'))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, mark, 0, NULL);
	}
	qemu_plugin_register_vcpu_tb_exec_cb(tb, block_runs, 0, block);
}

static void finished(qemu_plugin_id_t id, void *data)
{
	FILE *file = fopen(output, "w");
	const struct block *block;
	size_t i;

	if (!file) {
		perror(output);
		return;
	}
	fprintf(file, "batches %" PRIu64 "\n", batches);
	for (block = blocks; block; block = block->next)
		for (i = 0; block->runs && i < block->count; i++)
			fprintf(file, "%" PRIx64 " %" PRIu64 "\n", block->address[i], block->runs);
	fclose(file);
}

/* argv: "out=FILE" */
__attribute__((visibility("default")))
int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv)
{
	if (argc != 1 || strncmp(argv[0], "out=", 4)) {
		fprintf(stderr, "profile: out=FILE is wanted\n");
		return -1;
	}
	output = strdup(argv[0] + 4);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, finished, NULL);
	return 0;
}
