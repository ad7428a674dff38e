/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The executor that builds for real: sources into the store, programs in a sandbox over overlay mounts,
 * copies by descriptors. A local directory is listed once in an executor's life, so that what is digested and
 * what is copied agree: make a new one for each build. Threads: may be shared.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "oci/reference.h"
#include "remote/remote.h"
#include "solver/executor.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

/* A directory of the caller's machine that an OP_LOCAL of that name reads. */
struct local_source {
	const char *name;
	const char *dir;     /* absolute or relative to the process; NULL when commit is set */
	const char *git_dir; /* with commit: repository to read from instead of a work tree */
	const char *commit;  /* 40 hex; files come from this commit's tree */
	const char *subdir;  /* of the commit's tree; NULL: its root */
	bool git_modes;      /* normalize modes as git would record them: 0644, 0755 */
};

/* A secret's value: from an environment variable, a file, or bytes. Never stored. */
struct secret_source {
	const char *id;
	const char *env, *file; /* one of them, or */
	struct str value;       /* these bytes */
};

struct ssh_source {
	const char *id;
	const char *socket; /* of the agent */
};

/* What of this machine steps are handed, for the time of the step only. */
struct host_settings {
	const char *ca_bundle; /* PEM file shown to steps at the usual places and by SSL_CERT_FILE etc.; NULL:
				  none */
	const char *const *env;         /* "K=V" added to steps' environment when they do not set K: proxies,
					   package-client settings. Not in keys */
	const char *const *nameservers; /* NULL: /etc/resolv.conf's */
	const char *const *search;
	const char *const *extra_hosts; /* "name=ip" */
};

/* What a program wrote and how it ended. Borrowed for the call. */
struct exec_output {
	const char *layer; /* that it made; NULL: it failed */
	int code;
	struct str out, err, both; /* both: as it came */
};
typedef void exec_captured(void *ctx, const struct node *n, const struct exec_output *o);

struct sandbox_executor_options {
	struct store *store;
	struct remote *remote;
	const struct local_source *locals;
	size_t local_count;
	const struct secret_source *secrets;
	size_t secret_count;
	const struct ssh_source *ssh;
	size_t ssh_count;
	struct host_settings host;
	int64_t epoch; /* ns: what files made during the build get as mtime; also SOURCE_DATE_EPOCH for steps
			*/
	const char *http_ca_file;
	/* A failing program in a terminal: run an interactive shell in its file system before giving up
	 * (--shell-on-failure). */
	bool shell_on_failure;
	/* Told of every program that ended, on the thread that ran it, with its whole output. NULL: output is
	 * only passed on as events. */
	exec_captured *captured;
	void *captured_ctx;
	/* A secret that is not among secrets: appended to out; *found false when nobody knows it. Called from
	 * any thread. May be NULL. */
	struct err *(*secret_lookup)(void *ctx, const char *id, struct buf *out, bool *found);
	void *secret_ctx;
	/* An OP_LOCAL called "host[#WORD]:PATH" reads that directory of the machine; another WORD lists it
	 * anew. */
	bool host_dirs;
};

/* Strings in opt are copied. Caller frees with sandbox_executor_free. */
MUST_USE struct err *sandbox_executor_new(const struct sandbox_executor_options *opt, struct executor **out);
void sandbox_executor_free(struct executor *ex);

/* Read a file inside an OP_LOCAL's directory (a Dockerfile, an ignore file): inside its root only. *found
 * false when absent. */
MUST_USE struct err *local_source_read(
	const struct local_source *src, const char *path, size_t max, struct buf *out, bool *found);

/* What a step reads of a local directory, for telling why a result differs. */
struct file_read {
	char *path;  /* relative to the directory */
	char *state; /* equal for equal files: "0644 <hash>", "link <target>" */
};
/* The files and links that n's input i, an OP_LOCAL, gives it; vec of struct file_read, appended. Each costs
 * a string: not for every build. */
MUST_USE struct err *local_reads(
	struct executor *ex, const struct node *n, size_t i, const struct step_io *io, struct vec *out);
void file_reads_fini(struct vec *v);

/* Make sure a layer's unpacked form exists (unpacking or pulling it) and give it. */
MUST_USE struct err *layer_need_tree(
	struct executor *ex, const char *layer_id, const struct step_io *io, struct layer *out);
/* Make sure its diff id is known (hashing the tree). */
MUST_USE struct err *layer_need_diff_id(
	struct executor *ex, const char *layer_id, const struct step_io *io, struct layer *out);
/* Make sure its compressed form is in the store. codec as archive/compress.h's CODEC_GZIP or CODEC_ZSTD. A
 * layer that came from an image keeps its blob. */
MUST_USE struct err *layer_need_blob(
	struct executor *ex, const char *layer_id, int codec, const struct step_io *io, struct layer *out);

/* For --twice: which paths differ between two layers' trees, one line each ("M etc/foo: content", "A usr/x",
 * ...), at most max. */
MUST_USE struct err *layers_compare(
	struct executor *ex, const char *layer_a, const char *layer_b, size_t max, struct strvec *out);
/* Of what is at and below path of s: names, types, modes, owners, content, links; no times. */
MUST_USE struct err *snapshot_digest(struct executor *ex, const struct snapshot *s, const char *path,
	const struct step_io *io, struct digest *out);
/* *fd: a directory (the caller's), the merged files of s, read-only, visible nowhere else. */
MUST_USE struct err *snapshot_view(
	struct executor *ex, const struct snapshot *s, const struct step_io *io, int *fd);
/* Write a snapshot's merged files below dir or as one plain tar to fd. */
MUST_USE struct err *snapshot_export_dir(
	struct executor *ex, const struct snapshot *s, const char *dir, const struct step_io *io);
MUST_USE struct err *snapshot_export_tar(
	struct executor *ex, const struct snapshot *s, int fd, const struct step_io *io);
