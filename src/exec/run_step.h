/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running an EXEC operation: its inputs' layers as an overlay, the program in a sandbox on it, what it wrote
 * as one new layer. A failed step leaves nothing in the store.
 *
 * Times: what the program wrote gets the epoch as mtime (files whose own mtime lies before the step keep it),
 * so that trees and tars agree. Threads: run_step may be called by many threads with one context; it blocks
 * and honours io->cancel.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "exec/sandbox_executor.h"
#include "graph/node.h"
#include "solver/executor.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Mount points that images lack, made once and used by many steps. Lives in the store's scratch space. */
struct run_cache;
struct run_cache *run_cache_new(struct store *store); /* store must outlive it; nothing is written yet */
void run_cache_free(struct run_cache *c);

/* Plain data; everything is borrowed and must outlive the calls. */
struct run_context {
	struct store *store;
	struct run_cache *cache;
	const struct host_settings *host; /* NULL: nothing of this machine but its resolv.conf */
	const struct secret_source *secrets;
	size_t secret_count;
	const struct ssh_source *ssh;
	size_t ssh_count;
	bool host_sockets; /* an agent's id may be the absolute path of any socket of this machine */
	int64_t epoch;     /* ns; the mtime of what steps write, and SOURCE_DATE_EPOCH */
	bool shell_on_failure;
	exec_captured *captured; /* may be NULL */
	void *captured_ctx;
	struct err *(*secret_lookup)(
		void *ctx, const char *id, struct buf *out, bool *found); /* may be NULL */
	void *secret_ctx;
	bool rootless; /* userns_is_rootless() */
	/* Give layer_id's record with its tree present, unpacking or pulling it if need be. Called from any
	 * thread. */
	struct err *(*need_tree)(
		void *ctx, const char *layer_id, const struct step_io *io, struct layer *out);
	void *need_tree_ctx;
};

/*
 * Run node (an OP_EXEC) over its inputs' snapshots (same order; a NULL one is the empty file system; input 0
 * is the root). *out (zeroed by the caller) becomes input 0's layers and the new one. A program that ended
 * with a status not accepted is ERR_EXITED with err_exit_code; a stopped one ERR_CANCELED.
 */
MUST_USE struct err *run_step(struct run_context *rc, const struct node *node,
	const struct snapshot *const *inputs, const struct step_io *io, struct snapshot *out);
