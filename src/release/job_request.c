/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "release/release_internal.h"

static void add_labels(const struct release_plan *p, const struct release_job *j, struct strvec *out)
{
	char when[CLOCK_TEXT_MAX];
	strvec_pushf(out, "org.opencontainers.image.title=%s", p->container.name);
	if (j->version)
		strvec_pushf(out, "org.opencontainers.image.version=%s", j->version);
	const char *mark = p->dirty ? "-dirty" : p->unpushed ? "-unpushed" : "";
	strvec_pushf(out, "org.opencontainers.image.revision=%s%s", p->commit.id, mark);
	strvec_pushf(out, "org.opencontainers.image.created=%s", clock_rfc3339(p->commit.time, when));
	if (p->source_url)
		strvec_pushf(out, "org.opencontainers.image.source=%s", p->source_url);
}

static void docker_request(
	const struct release_request *rq, const struct release_plan *p, struct job_request *out)
{
	out->docker = (struct build_request){
		.dockerfile = build_kind_file(KIND_DOCKERFILE),
		.display = p->container.dir,
		.labels = strvec_list(&out->labels),
		.no_cache = rq->no_cache,
		.allow_insecure = rq->allow_insecure,
		.created = p->commit.time,
		.events = rq->events,
		.cancel = rq->cancel,
	};
	if (p->dirty) {
		out->docker.dir = out->dir;
		out->docker.git_modes = true;
	} else {
		out->docker.git_dir = repo_git_dir(rq->repo);
		out->docker.commit = p->commit.id;
		out->docker.subdir = p->container.dir;
	}
}

static void pipeline_request(
	const struct release_request *rq, const struct release_plan *p, struct job_request *out)
{
	out->pipeline = (struct pipeline_request){
		.file = out->file,
		.helpers = strvec_list(&p->config.helpers),
		.labels = strvec_list(&out->labels),
		.no_cache = rq->no_cache,
		.created = p->commit.time,
		.events = rq->events,
		.print_events = rq->events != NULL,
		.cancel = rq->cancel,
	};
	if (p->dirty) {
		out->pipeline.root = repo_root(rq->repo);
	} else {
		out->pipeline.git_dir = repo_git_dir(rq->repo);
		out->pipeline.commit = p->commit.id;
	}
}

static void nix_request(
	const struct release_request *rq, const struct release_plan *p, struct job_request *out)
{
	out->nix = (struct nix_job){
		.file = out->file,
		.labels = strvec_list(&out->labels),
		.created = p->commit.time,
		.events = rq->events,
		.cancel = rq->cancel,
	};
	if (p->dirty) {
		out->nix.root = repo_root(rq->repo);
	} else {
		out->nix.git_dir = repo_git_dir(rq->repo);
		out->nix.commit = p->commit.id;
	}
}

void job_request_make(const struct release_request *rq, const struct release_plan *p,
	const struct release_job *j, struct job_request *out)
{
	*out = (struct job_request){0};
	add_labels(p, j, &out->labels);
	out->dir = path_join(repo_root(rq->repo), p->container.dir);
	out->file = path_join(p->container.dir, build_kind_file(j->kind));
	docker_request(rq, p, out);
	pipeline_request(rq, p, out);
	nix_request(rq, p, out);
}

void job_request_fini(struct job_request *r)
{
	strvec_fini(&r->labels);
	mem_freep(&r->dir);
	mem_freep(&r->file);
}
