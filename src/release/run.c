/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "registry/registry.h"
#include "release/release.h"
#include "release/release_internal.h"
#include "repo/repo.h"

static struct err *explain_exists(struct err *e, const struct release_job *j)
{
	if (err_kind(e) != ERR_EXISTS)
		return e;
	return err_hint(err_wrap(e, "%s is published with another content and stays as it is", j->reference),
		"the same commit gave another image this time: \"cooper build --twice\" shows which step "
		"differs");
}

static struct err *publish(struct engine *e, const struct release_request *rq, const struct release_plan *p,
	const struct build_result *built, struct release_job *j)
{
	AUTO(reference_fini) struct reference ref = {0};
	TRY(reference_parse(j->reference, false, &ref));
	struct transfer_io io = {.events = rq->events, .cancel = rq->cancel};
	if (!p->config.registry) {
		/* who pulls from this store has nowhere else to get a base's layers */
		TRY(engine_fetch_missing(e, &built->manifest.digest, &io));
		return explain_exists(registry_publish(engine_store(e), ref.repository, j->tag,
					      &built->manifest, false, &j->already),
			j);
	}
	struct remote *remote = NULL;
	TRY(engine_remote(e, &remote));
	return explain_exists(remote_push(remote, &built->manifest, &ref, false, &io, &j->already), j);
}

static struct err *not_yet(const struct release_plan *p)
{
	return err_hint(err_new(ERR_UNSUPPORTED,
				"%s/default.nix is not supported yet: it needs cooper's nix-build runner",
				p->container.dir),
		"build it with nix-build and push the result until then");
}

static struct err *run_job(struct engine *e, const struct release_request *rq, const struct release_plan *p,
	struct release_job *j, char **failed_text)
{
	if (j->kind == KIND_NIX)
		return not_yet(p);
	AUTO(build_result_fini) struct build_result built = {0};
	AUTO(job_request_fini) struct job_request r;
	job_request_make(rq, p, j, &r);
	struct err *why = j->kind == KIND_CONTAINER_PY ? pipeline_build(e, &r.pipeline, &built)
						       : engine_build(e, &r.docker, &built);
	if (why) {
		if (failed_text && built.dockerfile_text) {
			mem_freep(failed_text);
			*failed_text = steal(&built.dockerfile_text);
		}
		return why;
	}
	TRY(publish(e, rq, p, &built, j));
	j->digest = built.manifest.digest;
	j->inputs = built.inputs;
	return NULL;
}

struct err *release_run(
	struct engine *e, const struct release_request *rq, struct release_plan *plan, char **failed_text)
{
	struct err *first = NULL;
	for (size_t i = 0; i < plan->jobs.len; i++) {
		struct release_job *j = vec_at(&plan->jobs, i);
		struct err *why = cancel_check(rq->cancel);
		if (!why)
			why = run_job(e, rq, plan, j, failed_text);
		if (!why)
			continue;
		j->error = err_text(why);
		first = err_first(first, err_wrap(why, "releasing %s", j->reference));
	}
	return first;
}
