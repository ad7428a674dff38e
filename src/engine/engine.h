/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The composition root: owns the store, settings and registry client of a process and builds images with
 * them. Threads: an engine may be shared; each build uses its own event stream.
 */
#pragma once

#include "archive/compress.h"
#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/event.h"
#include "base/json.h"
#include "base/vec.h"
#include "exec/sandbox_executor.h"
#include "graph/node.h"
#include "oci/image.h"
#include "oci/images.h"
#include "oci/reference.h"
#include "remote/remote.h"
#include "store/maintain.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

/* The machine's settings (docs/formats.md, "Machine configuration"). */
struct settings;
struct evaluation;
struct registry_policy;

struct engine_options {
	const char *home;        /* NULL: $COOPER_HOME, else the configured place, else the default */
	const char *config_file; /* NULL: /etc/cooper/config.yaml then $XDG_CONFIG_HOME/cooper/config.yaml */
	bool read_only;
};
struct engine;
MUST_USE struct err *engine_open(const struct engine_options *opt, struct engine **out);
void engine_close(struct engine *e);
void engine_closep(struct engine **e);
struct store *engine_store(struct engine *e);
/* Made when first asked for. */
MUST_USE struct err *engine_remote(struct engine *e, struct remote **out);
/* Another one with the machine's settings, over another handle of the store. timeout as in
 * remote_config. Caller frees *out. */
MUST_USE struct err *engine_remote_for(
	struct engine *e, struct store *s, int64_t timeout, struct remote **out);
const char *engine_home(const struct engine *e);
const struct settings *engine_settings(const struct engine *e); /* borrowed, as long as e */

enum output_kind {
	OUTPUT_STORE,
	OUTPUT_OCI_LAYOUT,
	OUTPUT_OCI_ARCHIVE,
	OUTPUT_DOCKER_ARCHIVE,
	OUTPUT_DIR,
	OUTPUT_TAR,
	OUTPUT_NONE
};
struct build_output {
	enum output_kind kind;
	const char *path; /* "-" is stdout where an archive goes */
};

struct build_context_arg {
	const char *name, *value;
};

struct build_request {
	/* What to build: a directory of the machine, or a folder of a repository at a commit. */
	const char *dir;        /* context directory; or */
	const char *git_dir;    /* repository ... */
	const char *commit;     /* ... at this commit, 40 hex ... */
	const char *subdir;     /* ... this folder of it */
	bool git_modes;         /* dir is in a repository: modes as git records them */
	const char *dockerfile; /* relative to the context, or a path of its own with dockerfile_outside;
				   NULL: Dockerfile, dockerfile */
	bool dockerfile_outside;
	const char
		*display; /* prefix of the Dockerfile's path in messages: "containers/miniflux"; NULL: dir */
	const char *target;
	const char *platform; /* NULL: this machine's */
	const char *const *build_args;
	const char *const *labels;
	const char *const *annotations;
	const struct build_context_arg *contexts;
	size_t context_count;
	const struct secret_source *secrets;
	size_t secret_count;
	const struct ssh_source *ssh;
	size_t ssh_count;
	const char *const *no_cache_stages;
	bool no_cache;
	bool isolated; /* neither reads nor writes the cache (--twice) */
	enum pull_policy pull;
	int network;         /* enum network_mode */
	bool allow_insecure; /* RUN --security=insecure, which is refused else */
	int64_t created;  /* ns; config's created and history; 0: from SOURCE_DATE_EPOCH or the fixed epoch */
	enum codec codec; /* CODEC_NONE: gzip */
	unsigned jobs;
	bool shell_on_failure;
	bool no_image;                /* solve only; no layers are packed */
	const char *locked;           /* JSON text of a build record whose pins are to be used; NULL: none */
	struct evaluation *evaluated; /* initialized; filled with what it is made from. NULL: not wanted */
	const char
		*evaluated_root; /* directory that paths of the machine in it are relative to; NULL: none */
	struct event_stream *events;
	const struct cancel *cancel;
};

struct build_result {
	struct descriptor manifest; /* in the store */
	struct digest config_digest;
	struct digest inputs;   /* definition digest with sources pinned: dev.cooper.inputs */
	struct strvec layers;   /* layer ids */
	json_t *pins;           /* [{source, pin}], owned */
	char *dockerfile_text;  /* for showing a failing step; also set on failure when it was read */
	unsigned steps, cached; /* of what was solved */
};
void build_result_fini(struct build_result *r);

/* The result is in the store, held by this process's lease until it is named. out must be zeroed; on failure
 * only dockerfile_text may be set. */
MUST_USE struct err *engine_build(struct engine *e, const struct build_request *rq, struct build_result *out);
/* Base layers may still be where they came from: bring every blob that an image or index of the store names
 * here. */
MUST_USE struct err *engine_fetch_missing(
	struct engine *e, const struct digest *manifest, const struct transfer_io *io);
MUST_USE struct err *engine_output(struct engine *e, const struct build_result *r,
	const struct reference *name, const struct build_output *o, const struct cancel *cancel);
/* Build cold twice, isolated from the cache, and compare: differing steps (and files) are appended to report,
 * none means reproducible. *dockerfile_text (caller frees): for showing a failing step, also set on failure
 * when it was read. */
MUST_USE struct err *engine_build_twice(struct engine *e, const struct build_request *rq, struct buf *report,
	bool *equal, char **dockerfile_text);

/* Remove logs of builds older than the settings' store.keep (14 days); *removed is added to. */
MUST_USE struct err *engine_prune_logs(struct engine *e, uint64_t *removed);

/* What the settings say about the embedded registry; borrowed. */
const struct registry_policy *engine_registry_policy(const struct engine *e);

/* Fill limits that are zero from the settings' store.keep and store.limit. */
void engine_gc_defaults(const struct engine *e, struct store_gc_options *opt);

/* Can this machine build? One row a check; vec of struct doctor_row. */
struct doctor_row {
	char *name, *detail, *fix; /* fix NULL when fine */
	enum { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL } state;
};
void doctor_row_fini(struct doctor_row *r);
MUST_USE struct err *engine_doctor(const struct engine_options *opt, struct vec *rows);

/* Must be called first in main, before threads: a user who is not root enters a user namespace when the
 * command builds or touches trees. */
MUST_USE struct err *engine_enter_namespace(void);
