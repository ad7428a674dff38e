/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share. */
#pragma once

#include "dagger/pipeline.h"
#include "release/release.h"

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
	char **failed_text; /* as release_run's; may be NULL */
};
MUST_USE struct err *release_run_job(struct engine *e, const struct job_run *r);
void listed_tag_fini(struct listed_tag *t);
/* Newest first: version, then time of the commit (0 unknown), then text. Exposed for tests. */
struct tag_order {
	const char *tag, *version;
	int64_t time;
};
int tag_order_cmp(const struct tag_order *a, const struct tag_order *b);
