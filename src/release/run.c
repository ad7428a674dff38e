/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "registry/registry.h"
#include "release/evaluate.h"
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

static struct err *push(struct engine *e, const struct job_run *r, const struct descriptor *image,
	struct reference *ref, const struct transfer_io *io)
{
	struct remote *remote = NULL;
	TRY(engine_remote(e, &remote));
	return remote_push(remote, image, ref, false, io, &r->job->already);
}

/* There, cooper serve would ask the upstream what its tags stand for. */
static struct err *check_no_copy(struct engine *e, const char *repository)
{
	struct str there;
	const struct registry_cache *c = policy_cache(engine_registry_policy(e), str_c(repository), &there);
	if (!c)
		return NULL;
	return err_hint(err_new(ERR_INVALID, "%s is where copies of %s are in this registry", repository,
				c->upstream),
		"name another namespace in cooper.yaml, or another prefix in the machine's settings");
}

struct err *release_publish(struct engine *e, const struct job_run *r, const struct descriptor *image)
{
	AUTO(reference_fini) struct reference ref = {0};
	struct release_job *j = r->job;
	struct transfer_io io = {.events = r->rq->events, .cancel = r->rq->cancel};
	bool own = !r->plan->config.registry;

	TRY(reference_parse(j->reference, false, &ref));
	/* who pulls from this store has nowhere else to get a base's layers */
	if (own && !r->own_registry)
		TRY(engine_fetch_missing(e, &image->digest, &io));
	if (r->may_publish)
		TRY(r->may_publish(r->may_publish_ctx));
	if (own && r->own_registry) {
		mem_freep(&ref.registry);
		ref.registry = mem_strdup(r->own_registry);
	} else if (own) {
		TRY(check_no_copy(e, ref.repository));
		return explain_exists(
			registry_publish(engine_store(e), ref.repository, j->tag, image, false, &j->already),
			j);
	}
	return explain_exists(push(e, r, image, &ref, &io), j);
}

static struct err *build_job(struct engine *e, const struct release_job *j, const struct job_request *asked,
	struct build_result *out)
{
	switch (j->kind) {
	case KIND_CONTAINER_PY:
		return pipeline_build(e, &asked->pipeline, out);
	case KIND_NIX:
		return nix_job_build(e, &asked->nix, out);
	case KIND_DOCKERFILE:
		break;
	}
	return engine_build(e, &asked->docker, out);
}

struct err *release_run_job(struct engine *e, const struct job_run *r)
{
	struct release_job *j = r->job;
	AUTO(build_result_fini) struct build_result built = {0};
	AUTO(job_request_fini) struct job_request asked;
	AUTO(evaluation_fini) struct evaluation made_from;
	evaluation_init(&made_from);
	job_request_make(r->rq, r->plan, j, &asked);
	asked.docker.evaluated = asked.pipeline.evaluated = asked.nix.evaluated = &made_from;
	struct err *why = build_job(e, j, &asked, &built);
	if (why) {
		if (r->failed_text && built.dockerfile_text) {
			mem_freep(r->failed_text);
			*r->failed_text = steal(&built.dockerfile_text);
		}
		return why;
	}
	TRY(release_publish(e, r, &built.manifest));
	release_note(e, &made_from);
	j->digest = built.manifest.digest;
	j->inputs = built.inputs;
	return NULL;
}
