/* SPDX-License-Identifier: Apache-2.0 */
/* The executor's own state and what its files offer each other. */
#pragma once

#include "base/map.h"
#include "exec/file_tree.h"
#include "exec/run_step.h"
#include "exec/sandbox_executor.h"
#include "http/client.h"
#include "remote/remote.h"
#include "solver/executor.h"
#include "store/store.h"

#include <pthread.h>

struct sandbox_executor {
	struct executor base;
	struct store *store;
	struct remote *remote;
	struct run_context run;
	struct strvec strings; /* with lists: owns what the copied options point to */
	struct vec lists;      /* of struct strvec */
	struct local_source *locals;
	size_t local_count;
	bool host_dirs;
	struct secret_source *secrets;
	size_t secret_count;
	struct ssh_source *ssh;
	size_t ssh_count;
	struct host_settings host;
	char *http_ca_file;
	pthread_mutex_t http_lock;
	struct http_client *http; /* made when first needed */
	pthread_mutex_t local_lock;
	struct map *trees; /* op digest of an OP_LOCAL -> struct file_tree * */
};

static inline struct sandbox_executor *sandbox_of(struct executor *ex)
{
	return container_of(ex, struct sandbox_executor, base);
}

static inline struct transfer_io transfer_of(const struct step_io *io)
{
	return (struct transfer_io){.events = io->events, .step = io->step, .cancel = io->cancel};
}

/* sources: one pair of calls a kind */
MUST_USE struct err *image_pin(struct sandbox_executor *sx, const struct op_image *op,
	const struct step_io *io, struct source_pin *out);
MUST_USE struct err *image_fetch(struct sandbox_executor *sx, const struct op_image *op,
	const struct source_pin *pin, const struct step_io *io, struct snapshot *out);
MUST_USE struct err *http_pin(struct sandbox_executor *sx, const struct op_http *op, const struct step_io *io,
	struct source_pin *out);
MUST_USE struct err *http_fetch(struct sandbox_executor *sx, const struct op_http *op,
	const struct source_pin *pin, const struct step_io *io, struct snapshot *out);
MUST_USE struct err *git_pin(struct sandbox_executor *sx, const struct op_git *op, const struct step_io *io,
	struct source_pin *out);
MUST_USE struct err *git_fetch(struct sandbox_executor *sx, const struct op_git *op,
	const struct source_pin *pin, const struct step_io *io, struct snapshot *out);
MUST_USE struct err *local_pin(
	struct sandbox_executor *sx, const struct node *n, const struct step_io *io, struct source_pin *out);
MUST_USE struct err *local_fetch(
	struct sandbox_executor *sx, const struct node *n, const struct step_io *io, struct snapshot *out);

/* The listing of an OP_LOCAL, one for the executor's life. Borrowed. */
MUST_USE struct err *local_tree(
	struct sandbox_executor *sx, const struct node *n, const struct step_io *io, struct file_tree **out);

/*
 * A layer made once for key (equal key, equal files) and found again by it. fill writes into dir (absolute
 * path, open as fd); directory times are normalized to mtime after it.
 */
struct layer_recipe {
	const char *key;
	struct err *(*fill)(void *ctx, int fd, const char *dir);
	void *ctx;
};
MUST_USE struct err *layer_by_recipe(struct sandbox_executor *sx, const struct layer_recipe *r,
	const struct step_io *io, struct layer *out);

/* A new layer of a filled tree. Consumes w. */
MUST_USE struct err *layer_of_tree(
	struct sandbox_executor *sx, struct store_tree_writer *w, struct layer *out);

/* What to has over from, neither made from the other, as one layer. */
MUST_USE struct err *tree_diff(struct sandbox_executor *sx, const struct snapshot *from,
	const struct snapshot *to, const struct step_io *io, struct snapshot *out);

/* FILE operations */
MUST_USE struct err *file_run(struct sandbox_executor *sx, const struct node *n,
	const struct snapshot *const *inputs, const struct step_io *io, struct snapshot *out);
/* Digest of what node's actions select from input i. */
MUST_USE struct err *file_input_digest(struct sandbox_executor *sx, const struct node *n, size_t i,
	const struct snapshot *input, const struct step_io *io, struct digest *out);
/* Digest of what an EXEC's mounts show of input i. */
MUST_USE struct err *mounts_input_digest(struct sandbox_executor *sx, const struct node *n, size_t i,
	const struct snapshot *input, const struct step_io *io, struct digest *out);
/* The listing of an input: the local source's own, or one made of the snapshot (*owned, to be freed by the
 * caller). */
MUST_USE struct err *input_tree(struct sandbox_executor *sx, const struct node *n, size_t i,
	const struct snapshot *input, const struct step_io *io, struct file_tree **out,
	struct file_tree **owned);

MUST_USE struct err *sandbox_need_tree(
	struct sandbox_executor *sx, const char *layer_id, const struct step_io *io, struct layer *out);
MUST_USE struct err *sandbox_need_diff_id(
	struct sandbox_executor *sx, const char *layer_id, const struct step_io *io, struct layer *out);

/*
 * Set the mtime of every directory below fd (itself too) that is not older than since (ns) to epoch: files
 * get their times when they are made, directories change theirs whenever something is made in them.
 */
MUST_USE struct err *settle_dir_times(int fd, int64_t since, int64_t epoch);
/* Set the times of path below root and of all below it, links themselves included. */
MUST_USE struct err *file_set_times(int rootfd, const char *path, int64_t seconds);
/* The kernel's clock for file times, ns. */
int64_t file_clock(void);
