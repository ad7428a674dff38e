/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the solver asks of the world. Two real implementations: src/exec and the fake one in tests.
 *
 * A file system ("snapshot") is a list of layer ids, bottom first, of the store. The empty list is scratch.
 * Layers may be lazy: known by diff id and blob, or only by where they can be pulled from, until an operation
 * needs their files. Threads: every call may come from several threads at once. Blocking calls honour cancel.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/event.h"
#include "base/str.h"
#include "base/vec.h"
#include "graph/node.h"

#include <stdbool.h>
#include <stdint.h>

struct snapshot {
	struct strvec layers; /* layer ids, bottom first */
};
void snapshot_fini(struct snapshot *s);
void snapshot_copy(const struct snapshot *from, struct snapshot *to);

/* A source, made exact: an image's manifest digest, a commit, a file's digest, a directory's tree digest. */
struct source_pin {
	char *text;           /* canonical: "docker.io/library/debian:12@sha256:...", "<url>#<commit>",
				 "<url>@sha256:...", "sha256:..." (local); after a file's digest perhaps ";" and its
				 time in seconds */
	struct digest digest; /* equal content, equal digest: what cache keys see */
};
void source_pin_fini(struct source_pin *p);

/* Per-step services the executor reports through. */
struct step_io {
	uint32_t step;               /* number in events */
	struct event_stream *events; /* may be NULL */
	const struct cancel *cancel; /* may be NULL */
};

struct executor {
	const struct executor_ops *ops;
};

struct executor_ops {
	/* Make a source exact, with as little work as possible (no download of content that a pin does not
	 * need). */
	struct err *(*pin)(struct executor *ex, const struct node *source, const struct step_io *io,
		struct source_pin *out);
	/* The source's files as a snapshot: lazy where possible. */
	struct err *(*fetch)(struct executor *ex, const struct node *source, const struct source_pin *pin,
		const struct step_io *io, struct snapshot *out);
	/*
	 * Run an EXEC, FILE, MERGE or DIFF over its inputs' snapshots (same order; scratch is an empty
	 * snapshot). inputs[i] is NULL where a FILE node's input is an OP_LOCAL: the executor reads the
	 * directory itself (node_input tells which), so that a context is never copied twice; for other nodes
	 * an OP_LOCAL comes as fetched. A failing program is ERR_EXITED.
	 */
	struct err *(*run)(struct executor *ex, const struct node *node, const struct snapshot *const *inputs,
		const struct step_io *io, struct snapshot *out);
	/*
	 * Digest of the parts of input i's files that node reads: the whole for EXEC's root, the selected
	 * paths for a COPY or a bind mount's source. Equal digest: running node over it gives an equal
	 * result. For OP_LOCAL inputs this works from the stat cache, without a snapshot (input NULL).
	 */
	struct err *(*content_digest)(struct executor *ex, const struct node *node, size_t i,
		const struct snapshot *input, const struct step_io *io, struct digest *out);
	/* Is everything the snapshot names still there (or can be fetched again)? */
	struct err *(*check)(struct executor *ex, const struct snapshot *s, bool *usable);
};
