/* SPDX-License-Identifier: Apache-2.0 */
/* A store with an image of one static busybox, and steps run on it. Needs the right to mount. */
#pragma once

#include "base/buf.h"
#include "base/cancel.h"
#include "base/event.h"
#include "exec/rootfs.h"
#include "exec/run_step.h"
#include "graph/node.h"
#include "store/store.h"

#include <pthread.h>

#define EPOCH_SECONDS 1700000000

struct fixture {
	char home[64];
	struct store *store;
	struct run_cache *cache;
	struct event_stream *events;
	struct cancel *cancel;
	struct run_context rc;
	struct snapshot base;
	struct graph *graph;
	struct buf out, err; /* what steps wrote */
	size_t chunks;
	struct buf info; /* EVENT_INFO and warnings */
};

/* False: this process may not mount and cannot become able to, or there is no static busybox; tests skip
 * (77). Call first. */
bool fixture_possible(void);
void fixture_setup(struct fixture *f);
void fixture_teardown(struct fixture *f);

/* A layer whose tree fill has made below its root. Appended to s. */
void fixture_layer(struct fixture *f, struct snapshot *s, void (*fill)(int rootfd));
void put_file(int rootfd, const char *path, const char *text, unsigned mode);
void put_dir(int rootfd, const char *path);
void put_link(int rootfd, const char *path, const char *target);
void put_whiteout(int rootfd, const char *path);

/* An op running "/bin/sh -c script" as root in /, with PATH. */
struct op exec_op(const char *const *argv);
#define SH(script) ((const char *const[]){"/bin/sh", "-c", (script), NULL})

/* Run op over inputs (snapshots; NULL: base alone). The captured output is reset before. */
struct err *fixture_run(struct fixture *f, const struct op *op, const struct snapshot *const *inputs,
	size_t count, struct snapshot *out);
/* Run a script over the base; fails the test on an error; its stdout is in f->out. */
void run_ok(struct fixture *f, const char *script, struct snapshot *out);
/* Descriptor of the new layer's tree. */
int top_tree(struct fixture *f, const struct snapshot *s);
/* "a\nb\n..." of all paths below the new layer's tree, sorted, with marks: "etc/x wh" for a whiteout, "dir/"
 * and "dir/ opaque". */
char *top_list(struct fixture *f, const struct snapshot *s);
