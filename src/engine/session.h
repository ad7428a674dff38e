/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipeline under way: one graph that grows while parts of it are solved. A frontend that is called step by
 * step (the session API) makes nodes and asks for what they give: files, output of programs, images.
 *
 * What is read of the world is read once in a session: a directory of the machine, a tag, a git ref. Threads:
 * every call may come from several at once; equal work in flight is done once. Blocking calls honour cancel.
 * Nodes and strings of nodes live until session_close.
 */
#pragma once

#include "engine/engine.h"
#include "engine/evaluate.h"
#include "solver/executor.h"

struct session;

struct session_options {
	struct event_stream *events; /* may be NULL */
	int64_t created;             /* ns: "created" of images; 0: SOURCE_DATE_EPOCH or the fixed epoch */
	bool no_cache;
	unsigned jobs; /* 0: number of CPUs */
	enum pull_policy pull;
};
MUST_USE struct err *session_open(struct engine *e, const struct session_options *opt, struct session **out);
void session_close(struct session *s);
void session_closep(struct session **s);
struct store *session_store(struct session *s);
int64_t session_created(const struct session *s);

/* graph_node, for many threads. */
MUST_USE struct err *session_node(struct session *s, const struct op *op, struct node *const *inputs,
	size_t input_count, const struct node_label *label, struct node **out);

/* The whole config document of an image (appended) and its exact name "name@sha256:..." (caller frees). */
MUST_USE struct err *session_image_config(
	struct session *s, const char *ref, const char *platform, struct buf *config, char **pinned);
/* The commit that the repository's ref stands for. Caller frees *commit. */
MUST_USE struct err *session_git_commit(
	struct session *s, const struct op_git *repo, const struct cancel *cancel, char **commit);

/* Look at a source now, once for the session. */
MUST_USE struct err *session_pin(struct session *s, struct node *n, const struct cancel *cancel);
/* The files of a commit of a local repository in a directory of the session's own. Caller frees *dir. */
MUST_USE struct err *session_checkout(
	struct session *s, const char *git_dir, const char *commit, const struct cancel *cancel, char **dir);
/* Full names of the repository's references, appended. Of repo only url and auth_secret count. */
MUST_USE struct err *session_git_refs(
	struct session *s, const struct op_git *repo, const struct cancel *cancel, struct strvec *out);
/* The best common ancestor of two commits. Caller frees. Of repo only url and auth_secret count. */
MUST_USE struct err *session_git_merge_base(struct session *s, const struct op_git *repo, const char *a,
	const char *b, const struct cancel *cancel, char **out);

/* ---- solving ---- */

/* n may be NULL: the empty file system. Caller calls snapshot_fini. */
MUST_USE struct err *session_solve(
	struct session *s, struct node *n, const struct cancel *cancel, struct snapshot *out);

struct session_output {
	int code;
	struct buf out, err, both; /* both: as it came */
};
void session_output_fini(struct session_output *o);
/* What the program of n (an OP_EXEC) wrote; it runs again if that was not kept. */
MUST_USE struct err *session_exec_output(
	struct session *s, struct node *n, const struct cancel *cancel, struct session_output *out);
/* What the program wrote whose failure is an error of this session with that err_subject. *failed NULL if
 * there is none. */
void session_failure(
	struct session *s, const char *subject, const struct node **failed, struct session_output *out);

/* *fd: a directory (the caller's), the merged files of n, read-only; for the root_* calls of sys/file.h. */
MUST_USE struct err *session_view(struct session *s, struct node *n, const struct cancel *cancel, int *fd);
MUST_USE struct err *session_export_dir(
	struct session *s, struct node *n, const char *dir, const struct cancel *cancel);

/* Of what is at and below path: equal files, equal digest. */
MUST_USE struct err *session_digest(
	struct session *s, struct node *n, const char *path, const struct cancel *cancel, struct digest *out);
/* An empty directory of the session's own, gone with it. Caller frees the path. */
MUST_USE struct err *session_scratch(struct session *s, char **path);
/* Free disk space, as the machine's settings say. */
MUST_USE struct err *session_gc(struct session *s);

/* ---- secrets ---- */

/* The value is kept in memory only; a later one of the same id wins. */
void session_set_secret(struct session *s, const char *id, struct str value);
/* *found false if nobody gave it; the value is appended. */
MUST_USE struct err *session_secret(struct session *s, const char *id, struct buf *out, bool *found);
/* Equal for equal values of this store's sessions; tells nothing of the value without the store. Caller
 * frees. */
MUST_USE struct err *session_hash_secret(struct session *s, struct str value, char **out);

/* ---- images ---- */

struct session_variant {
	struct node *root;              /* NULL: no layers */
	const json_t *config;           /* whole document without rootfs; borrowed */
	const char *platform;           /* "linux/amd64" */
	const char *const *annotations; /* "K=V"; may be NULL */
};
struct session_image_options {
	enum codec codec;             /* of layers made here; CODEC_NONE: gzip */
	bool recode;                  /* codec is for all layers, and CODEC_NONE means none */
	bool docker_types;            /* Docker's media types instead of OCI's */
	const struct cancel *cancel;  /* may be NULL */
	struct evaluation *evaluated; /* as in build_request, of the first variant */
	const char *evaluated_root;
};
/* Into the store: one variant a manifest, several an index sorted by platform. result (zeroed, may be NULL)
 * is of the first. */
MUST_USE struct err *session_image(struct session *s, const struct session_variant *variants, size_t count,
	const struct session_image_options *opt, struct descriptor *out, struct build_result *result);
/* What an image of the variant would be made from, without making it. root: a directory that paths of the
 * machine are shown relative to. */
MUST_USE struct err *session_evaluate(struct session *s, const struct session_variant *v, const char *root,
	const struct cancel *cancel, struct evaluation *out);
/* Push to address, tag "latest" if it names none. Gives the name with the digest; caller frees. */
MUST_USE struct err *session_publish(struct session *s, const struct descriptor *image, const char *address,
	const struct cancel *cancel, char **name);
/* The image as an OCI or Docker archive at path. */
MUST_USE struct err *session_export_image(struct session *s, const struct descriptor *image, bool docker,
	const char *path, const struct cancel *cancel);
/* Take an image archive in. *name: what it can be had by; caller frees. */
MUST_USE struct err *session_import(
	struct session *s, const char *path, const struct cancel *cancel, char **name);
/* Name an image in the store. */
MUST_USE struct err *session_name_image(struct session *s, const struct descriptor *image, const char *name);
/* Credentials for a registry, for this session. */
MUST_USE struct err *session_auth(struct session *s, const char *host, const char *user, struct str password);
void session_auth_forget(struct session *s, const char *host);

/* ---- Dockerfiles ---- */

struct session_dockerfile {
	struct node *context; /* whose files below path are the context */
	const char *path;     /* absolute */
	const char *file;     /* relative to path; NULL: Dockerfile */
	const char *target;
	const char *platform;
	const char *const *build_args;
	const struct cancel *cancel;
};
/* *config: the whole document without rootfs, the caller's. */
MUST_USE struct err *session_dockerfile(
	struct session *s, const struct session_dockerfile *d, struct node **root, json_t **config);
