/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a Dockerfile to a graph. Does no I/O: files and image configs come through callbacks.
 * Behaviour: the Dockerfile reference and BuildKit's stable frontend, as written down in docs/dockerfile.md.
 */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/event.h"
#include "base/json.h"
#include "base/str.h"
#include "base/vec.h"
#include "graph/node.h"

#include <stdbool.h>
#include <stdint.h>

/* What a user calls the permission for RUN --security=insecure. */
#define ALLOW_INSECURE "security.insecure"

struct dockerfile_host {
	void *ctx;
	/* The config of an image (whole document as JSON text, appended) and its exact reference
	 * "name@sha256:..." (caller frees). Blocks. */
	struct err *(*image_config)(void *ctx, const char *ref, const char *platform, enum pull_policy pull,
		struct buf *config, char **pinned);
	/* A file of the named local source ("context" or a named context's name). *found false when absent.
	 */
	struct err *(*read_file)(
		void *ctx, const char *local, const char *path, struct buf *out, bool *found);
};

/* --build-context NAME=VALUE. */
struct named_context {
	const char *name;
	const char *local; /* name of an OP_LOCAL; or */
	const char *image; /* docker-image://REF; or */
	const char *url;   /* git or http(s) */
};

struct dockerfile_request {
	const char *path; /* for messages: "containers/miniflux/Dockerfile" */
	struct str text;
	const char *ignore_path;  /* of the ignore file read, for messages; NULL if none */
	struct str ignore_text;   /* its content */
	struct node *context;     /* of the graph: its files below context_path are the context; NULL: the
				     OP_LOCAL "context" */
	const char *context_path; /* absolute */
	const char *target;       /* stage name or index; NULL: the last */
	const char *const *build_args; /* "K=V" */
	const char *const *labels;     /* "K=V", win over the file's */
	const struct named_context *contexts;
	size_t context_count;
	const char *platform; /* target, "linux/amd64" */
	const char *build_platform;
	enum pull_policy pull;
	bool no_cache;
	const char *const *no_cache_stages;
	int network;                  /* enum network_mode for steps that do not say; default host */
	bool allow_insecure;          /* else RUN --security=insecure is refused */
	int64_t created;              /* ns, for the config and new history entries */
	const char *const *proxy_env; /* "K=V" of the caller's machine for the predefined proxy ARGs */
	const struct dockerfile_host *host;
	struct event_stream *events; /* warnings; may be NULL */
};

struct dockerfile_build {
	struct node *root; /* of the target; NULL: scratch without layers */
	json_t *config; /* whole image config document but rootfs.diff_ids (the engine fills them); owned */
	size_t history_layers;     /* layers that the config's history tells of, the base's counted: what the
				      result must have */
	struct vec history_lines;  /* of uint32_t: the line of each entry of the config's history; 0: the
				      base image's */
	struct strvec used_locals; /* names of the OP_LOCALs that occur */
	struct strvec pins;        /* "name@sha256:..." of images whose configs were read */
};
void dockerfile_build_fini(struct dockerfile_build *b);

/* Errors carry "path:line[:column]" and, as a hint, what to do; several parse errors are reported at once.
 * Nodes go to g. */
MUST_USE struct err *dockerfile_lower(
	const struct dockerfile_request *rq, struct graph *g, struct dockerfile_build *out);

/* Dockerfile lines around where, marked, for showing a failing step. Appends to out. */
void dockerfile_excerpt(struct str text, struct source_range where, struct buf *out);
