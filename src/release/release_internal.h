/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share. */
#pragma once

#include "dagger/pipeline.h"
#include "release/nix_job.h"
#include "release/release.h"

/* Requests to a registry at once. */
#define RELEASE_PARALLEL 8

void release_job_fini(struct release_job *j);
/* "registry/namespace/name". Caller frees. */
char *release_image(const struct repo_config *cfg, const char *name);
/* What is asked of the engine for a job: the same when it is built and when it is evaluated. Borrows of rq, p
 * and j. */
struct job_request {
	struct strvec labels;
	char *dir, *file;
	struct build_request docker;      /* of a Dockerfile */
	struct pipeline_request pipeline; /* of a container.py */
	struct nix_job nix;               /* of a default.nix */
};
void job_request_make(const struct release_request *rq, const struct release_plan *p,
	const struct release_job *j, struct job_request *out);
void job_request_fini(struct job_request *r);

/* Building and publishing one job. */
struct job_run {
	const struct release_request *rq;
	const struct release_plan *plan;
	struct release_job *job;
	const char *own_registry;              /* as in job_work */
	struct err *(*may_publish)(void *ctx); /* likewise */
	void *may_publish_ctx;
	char **failed_text; /* gets the Dockerfile's text of a failed build; may be NULL */
};
MUST_USE struct err *release_run_job(struct engine *e, const struct job_run *r);
/* image under the job's name, never over another one: ERR_EXISTS. The job's already says whether it was
 * there.
 */
MUST_USE struct err *release_publish(
	struct engine *e, const struct job_run *r, const struct descriptor *image);
/* "registry/namespace/": what the images of the repository begin with. Caller frees. */
char *release_prefix(const struct repo_config *cfg);
/* Newest first: version, then time of the commit (0 unknown), then text. Exposed for tests. */
struct tag_order {
	const char *tag, *version;
	int64_t time;
};
int tag_order_cmp(const struct tag_order *a, const struct tag_order *b);

/* embedded, here and below: at the registry of the local store, else where image or ref says. */
MUST_USE struct err *published_tags(
	struct engine *e, bool embedded, const char *image, const struct transfer_io *io, struct strvec *out);
/* What a tag, else a digest, stands for at the registry of the local store. */
MUST_USE struct err *published_here(
	struct engine *e, const struct reference *ref, struct descriptor *out, bool *found);
/* As remote_presence; *out owned by the caller. */
MUST_USE struct err *published_presence(struct engine *e, bool embedded, const struct reference *ref,
	bool want_digest, const struct transfer_io *io, struct presence *out);

/* What an image says of itself. Also set in part when reading it fails. */
struct image_facts {
	struct digest digest;
	struct digest image;  /* manifest for this machine: of an index one of its own, else digest */
	struct digest inputs; /* the label; unset if there is none */
	char revision[41];    /* the label; "" if there is none */
	int64_t created;      /* 0: unknown */
	uint64_t size;        /* of its layers */
};
/* Manifest and config come into the store. */
MUST_USE struct err *image_facts_read(struct engine *e, bool embedded, const struct reference *ref,
	const struct transfer_io *io, struct image_facts *out);

/* Where a tag comes from. */
struct trace {
	char *version;     /* as the tag has it; NULL: it names none */
	char sha7[8];      /* as the tag has it; "": it names no commit */
	char revision[41]; /* as the image's label has it; "": not known */
	enum provenance provenance;
	char *reason;    /* of UNKNOWN */
	char commit[41]; /* "" of UNKNOWN */
	int64_t time;    /* of the commit; 0 of UNKNOWN */
};
void trace_fini(struct trace *t);
/* By the tags' own characters, in one walk. A tag may be NULL. */
MUST_USE struct err *trace_tags(struct repo *r, const char *const *tags, struct trace *out, size_t count);
/* Again by the labels of those that have one. */
MUST_USE struct err *trace_labels(struct repo *r, struct trace *const *traces, size_t count);
