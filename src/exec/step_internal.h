/* SPDX-License-Identifier: Apache-2.0 */
/* One run of an EXEC operation, in parts: root file system, mounts, environment, output, what becomes the
 * layer. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/vec.h"
#include "exec/run_step.h"
#include "exec/user.h"
#include "exec/volumes.h"
#include "sys/sandbox.h"

/* A mount that the step asks for, made and ready to be put in place. */
enum { STAGE_FILES, STAGE_SECRETS, STAGE_FIRST };

struct step_mount {
	const struct exec_mount *want;
	bool is_dir;
	int fd;             /* of the mount, or -1 */
	const char *source; /* below fd; NULL: its root */
	int secret;         /* number of the file among the secrets, or -1 */
	const char *socket; /* of an agent on this machine */
	bool absent;        /* an optional secret or agent that nobody gave */
};

struct step {
	struct run_context *rc;
	const struct op_exec *op;
	const struct snapshot *const *inputs;
	size_t input_count;
	const struct step_io *io;
	struct arena *arena;
	const char *dir;    /* of the tree writer; scratch beside the tree */
	const char *upper;  /* the tree that becomes the layer */
	unsigned attempt;   /* overlays are mounted anew for each */
	unsigned scratches; /* directories made for binds: an overlay's may not be used again */
	struct volume_set *volumes;
	struct store_tree_writer **kept; /* of each mount; NULL: what is written to it is dropped */
	bool capture;                    /* keep what the program writes, */
	struct buf written[3];           /* to stdout, to stderr, to both as it came */
	struct strvec masked;            /* values of secrets, not to be shown */
	struct buf held[2];              /* output that may be the beginning of one */
};

/* What lives for one attempt. */
struct attempt {
	struct step_mount *mounts;
	size_t mount_count;
	int root_fd;    /* the merged root; its mount */
	int files_fd;   /* tmpfs of generated files */
	int secrets_fd; /* ramfs of secrets, or -1 */
	bool has_ca;
	struct image_user user;
	struct strvec env;
};

/* ---- rootfs.c ---- */

struct rootfs_request {
	const struct snapshot *snapshot; /* may be NULL */
	const char *const *points; /* what must be there to be mounted on; a directory's ends with '/' */
	const char *upper;         /* NULL: read-only */
	const char *scratch; /* absolute path that may be made a directory, for mount points that only this
				one needs */
	const char *work;    /* likewise, beside upper */
};
/*
 * Mount a snapshot with mount points that it lacks, which no upper directory ever sees. *fd is the mount, the
 * caller's. ERR_INVALID when a point cannot be had (below a file).
 */
MUST_USE struct err *rootfs_mount(
	struct run_context *rc, const struct rootfs_request *rq, const struct step_io *io, int *fd);

/* ---- stubs.c ---- */

/* A directory with the points in it, made once. Caller frees *path. */
MUST_USE struct err *stubs_get(struct run_cache *c, const char *const *points, int64_t mtime, char **path);
/*
 * Which points the merged tree at rootfd lacks: their real places, links resolved, appended (as points).
 * ERR_INVALID when a point is something else than it must be.
 */
MUST_USE struct err *stubs_missing(int rootfd, const char *const *points, struct strvec *out);
/* Make those below dir, directories that rootfd has too looking as they do there. */
MUST_USE struct err *stubs_make_like(const char *dir, int rootfd, const char *const *points, int64_t mtime);

/* ---- step_mounts.c ---- */

/* Open what the operation mounts. */
MUST_USE struct err *step_mounts_open(struct step *s, struct attempt *a);
/* What waits outside the root: comes first in a plan. Takes the descriptors of what it adds. */
void step_stages_plan(struct attempt *a, struct sandbox_plan *p);
/* Add them to the plan, parents before what lies in them. Takes their descriptors. */
void step_mounts_plan(struct attempt *a, struct sandbox_plan *p);
/* Points that the root must have for them. */
void step_mounts_points(const struct attempt *a, struct strvec *points);

/* ---- step_owners.c ---- */

/* op with the numbers of its mounts' owners, found in root (NULL: empty). What *out points to is op's or in
 * arena. */
MUST_USE struct err *step_owners_find(struct run_context *rc, const struct op_exec *op,
	const struct snapshot *root, const struct step_io *io, struct arena *arena, struct op_exec *out);

/* ---- step_secrets.c ---- */

/* The value of a secret; *found false when nobody gave it. */
MUST_USE struct err *secret_value(const struct run_context *rc, const char *id, struct buf *out, bool *found);
/* Put the step's secrets into files and variables: fills a->secrets_fd, the mounts' secret, and env. */
MUST_USE struct err *step_secrets_open(struct step *s, struct attempt *a);

/* ---- step_files.c ---- */

/* resolv.conf, hosts, hostname, and what the host CA needs, into a->files_fd. Needs a->root_fd. */
MUST_USE struct err *step_files_open(struct step *s, struct attempt *a);
void step_files_points(const struct step *s, struct strvec *points);
void step_files_plan(const struct attempt *a, struct sandbox_plan *p);
/* Where the host's CA bundle is inside the step. */
#define STEP_CA_DIR "/run/cooper"
#define STEP_CA_FILE STEP_CA_DIR "/ca.crt"

/* ---- step_env.c ---- */

/* The program's environment, into a->env (secrets are there already). Needs a->user. */
void step_env_make(const struct step *s, struct attempt *a);

/* ---- step_output.c ---- */

struct step_end {
	int code; /* 128 + signal when killed */
	int signal;
};
/* Pass the program's output on until it ended. Closes out and errout. ERR_CANCELED after killing it. */
MUST_USE struct err *step_output_pass(
	struct step *s, struct sandbox_process *p, int out, int errout, struct step_end *end);

/* ---- step_kept.c ---- */

/* Begin trees for mounts whose content is kept. */
MUST_USE struct err *step_kept_begin(struct step *s);
/* Make layers of them, which kept_layer finds by the layer that the step made. */
MUST_USE struct err *step_kept_commit(struct step *s, int64_t start, const char *layer);
void step_kept_abandon(struct step *s);
/* The layer with what was written to the mount at target by the step that made layer. */
MUST_USE struct err *kept_layer(struct store *st, const char *layer, const char *target, struct buf *out);

/* ---- step_mask.c ---- */

/* Append to out what of the stream's piece (1 stdout, 2 stderr) can be shown. */
void step_mask(struct step *s, int stream, struct str piece, bool last, struct buf *out);

/* ---- step_redirect.c ---- */

/* Write what the program wrote to the files that the operation names, as its user. */
MUST_USE struct err *step_redirect(const struct step *s, const struct attempt *a);

/* ---- step_explain.c ---- */

/* Why argv[0] could not be executed in the root at rootfd. Consumes e. */
MUST_USE struct err *step_explain_exec(
	const struct step *s, int rootfd, const char *const *argv, const char *const *env, struct err *e);
MUST_USE struct err *step_exit_error(
	const struct step *s, const char *const *argv, const struct step_end *end);

/* ---- step_settle.c ---- */

/*
 * Make the upper directory fit to be a layer: what was written since start gets the epoch as mtime, sockets
 * go. *size is what it takes on disk.
 */
MUST_USE struct err *step_settle(int rootfd, int64_t start, int64_t epoch, uint64_t *size);

/* ---- step_shell.c ---- */

/* A shell in the failed step's root, on the terminal. Problems are told as events. */
void step_shell(struct step *s);
/* ---- run_step.c ---- */

/* Run argv as the step would. foreground: on our terminal, else its output becomes events. */
MUST_USE struct err *step_attempt(
	struct step *s, const char *const *argv, bool foreground, struct step_end *end);
