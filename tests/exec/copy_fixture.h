/* SPDX-License-Identifier: Apache-2.0 */
/* A store, a context directory and an executor over it; file trees written and listed as lines of text. */
#pragma once

#include "base/err.h"
#include "base/mem.h"
#include "exec/sandbox_executor.h"
#include "graph/node.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define EPOCH (1700000000 * INT64_C(1000000000))

#define OK(call)                                            \
	do {                                                \
		struct err *_e = (call);                    \
		if (_e) {                                   \
			AUTO_FREE char *_t = err_trace(_e); \
			err_free(_e);                       \
			fail_msg("%s", _t);                 \
		}                                           \
	} while (0)

/* e has the kind, and text in its chain or hint. Frees e. */
void fails(struct err *e, enum err_kind kind, const char *text);

struct world {
	char dir[64];
	char context[80];
	struct store *store;
	struct executor *ex;
	struct graph *graph;
	struct local_source local; /* "context"; change before world_executor */
	struct step_io io;
};

/* Become able to mount, for a user who is not root. Call first, with one thread. False: not possible here,
 * skip. */
bool world_enter(void);
void world_open(struct world *w);
void world_close(struct world *w);
/* A new executor, as another build would have. */
void world_executor(struct world *w);

/*
 * Lines: "d path [mode]", "f path [mode] [= content]", "l path target", "h path existing", "p path" (pipe),
 * "x path name value"; modes octal, below dirfd. All files get mtime 1600000000.
 */
void make_files(int dirfd, const char *lines);
void make_context(struct world *w, const char *lines);
/* One "d|f|l|c|p mode uid:gid path[ = content| -> target]" a line, sorted by path; mtimes other than the
 * epoch shown as " @seconds". */
char *list_files(int dirfd);
/* A layer of these files on top of s. */
void add_layer(struct world *w, struct snapshot *s, const char *lines);

/* Run one FILE op: base (may be NULL), from (input 1: a snapshot, or NULL for the context). The new layer's
 * listing. */
struct err *run_file(struct world *w, const struct op_file *op, const struct snapshot *base,
	const struct snapshot *from, struct snapshot *out);
char *list_top(struct world *w, const struct snapshot *s);
struct node *context_node(struct world *w, const char *const *exclude);
struct node *file_node(struct world *w, const struct op_file *op, struct node *base, struct node *from);
