/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/build_args.h"
#include "cli/cmds.h"
#include "cli/render.h"
#include "release/release.h"

struct release_args {
	const char *ref, *progress;
	struct strvec allow;
	bool dry_run, force, no_cache, json;
};

#define OPT(field) offsetof(struct release_args, field)

static const struct option options[] = {
	{"ref", 0, OPTION_TEXT, "REF", OPT(ref), "the commit to release (default: HEAD)"},
	{"dry-run", 'n', OPTION_FLAG, NULL, OPT(dry_run), "show what would be built and published"},
	{"force", 0, OPTION_FLAG, NULL, OPT(force),
		"also an unpushed commit or a changed work tree, under a tag that says so"},
	{"allow", 0, OPTION_LIST, "RIGHT", OPT(allow),
		"security.insecure: let RUN --security=insecure leave the sandbox"},
	{"no-cache", 0, OPTION_FLAG, NULL, OPT(no_cache), "run every step again"},
	{"progress", 0, OPTION_TEXT, "MODE", OPT(progress), "auto, tty, plain, json or quiet"},
	{"json", 0, OPTION_FLAG, NULL, OPT(json), "print the plan or the result as JSON"},
};

static json_t *job_json(const struct release_job *j)
{
	char text[DIGEST_TEXT_MAX];
	json_t *o = json_object();

	json_set_text(o, "kind", build_kind_name(j->kind));
	json_set_text(o, "version", j->version);
	json_set_text(o, "tag", j->tag);
	json_set_text(o, "reference", j->reference);
	json_set_text(o, "runner", j->runner);
	if (digest_is_set(&j->digest))
		json_set_text(o, "digest", digest_text(&j->digest, text));
	if (digest_is_set(&j->inputs))
		json_set_text(o, "inputs", digest_text(&j->inputs, text));
	if (j->already)
		json_object_set_new(o, "already", json_true());
	json_set_text(o, "error", j->error);
	return o;
}

static void print_json(struct cli *c, const struct release_plan *p)
{
	AUTO_JSON json_t *o = json_object();
	json_t *jobs = json_array();

	json_set_text(o, "container", p->container.name);
	json_set_text(o, "commit", p->commit.id);
	json_set_text(o, "source", p->source_url);
	json_object_set_new(o, "dirty", json_boolean(p->dirty));
	json_object_set_new(o, "unpushed", json_boolean(p->unpushed));
	for (size_t i = 0; i < p->jobs.len; i++)
		json_array_append_new(jobs, job_json(vec_at(&p->jobs, i)));
	json_object_set_new(o, "jobs", jobs);
	AUTO_FREE char *text = json_dump_pretty(o);
	fprintf(c->out, "%s\n", text);
}

static void print_plan(struct cli *c, const struct release_plan *p)
{
	fprintf(c->out, "container  %s (%s)\n", p->container.name, p->container.kinds);
	fprintf(c->out, "commit     %s  %s\n", p->commit.id, p->commit.subject ? p->commit.subject : "");
	if (p->dirty)
		fprintf(c->out, "work tree  changed: the tag says so, and nothing may pin it\n");
	else if (p->unpushed)
		fprintf(c->out, "pushed     no: the tag says so, and nothing may pin it\n");
	for (size_t i = 0; i < p->jobs.len; i++) {
		const struct release_job *j = vec_at(&p->jobs, i);
		fprintf(c->out, "%-12s -> %s  (runner %s)\n", build_kind_name(j->kind),
			j->reference ? j->reference : "-", j->runner ? j->runner : "-");
	}
}

static void print_result(struct cli *c, const struct release_plan *p)
{
	char text[DIGEST_TEXT_MAX];

	for (size_t i = 0; i < p->jobs.len; i++) {
		const struct release_job *j = vec_at(&p->jobs, i);
		if (j->error)
			fprintf(c->out, "failed     %s: %s\n", build_kind_name(j->kind), j->error);
		else
			fprintf(c->out, "%s  %s@%s\n", j->already ? "already published" : "published",
				j->reference, digest_text(&j->digest, text));
	}
}

static struct err *release_for_real(
	struct cli *c, const struct release_args *args, struct release_request *rq, struct release_plan *p)
{
	AUTO(engine_closep) struct engine *eng = NULL;
	AUTO(display_freep) struct display *d = NULL;
	AUTO_FREE char *file_text = NULL;

	TRY(engine_open(&c->engine, &eng));
	AUTO_FREE char *logs = path_join(engine_home(eng), "logs");
	TRY(display_new(c->err, args->progress, logs, &d));
	rq->events = display_events(d);
	struct err *e = release_run(eng, rq, p, &file_text);
	display_end(d);
	if (e)
		display_failure(d, e, file_text);
	if (args->json)
		print_json(c, p);
	else
		print_result(c, p);
	return e;
}

static struct err *release_one(
	struct cli *c, const struct release_args *args, struct repo *repo, const char *name)
{
	struct release_request rq = {
		.repo = repo,
		.name = name,
		.ref = args->ref,
		.dry_run = args->dry_run,
		.force = args->force,
		.no_cache = args->no_cache,
		.cancel = c->cancel,
	};
	struct release_plan p = {0};

	TRY(build_allow_parse(&args->allow, &rq.allow_insecure));
	struct err *e = release_plan_make(&rq, &p);
	if (!e && !args->json)
		print_plan(c, &p);
	if (!e && args->dry_run && args->json)
		print_json(c, &p);
	fflush(c->out);
	if (!e && !args->dry_run)
		e = release_for_real(c, args, &rq, &p);
	release_plan_fini(&p);
	return e;
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	AUTO(repo_freep) struct repo *repo = NULL;
	struct err *first = NULL;

	TRY(repo_open(".", &repo));
	for (size_t i = 0; i < operands->len && !cancel_is_set(c->cancel); i++) {
		struct err *e = release_one(c, args, repo, operands->ptr[i]);
		if (e && i + 1 < operands->len)
			report_error(c, e);
		first = err_first(first, e);
	}
	return first;
}

const struct command cmd_release = {
	.name = "release",
	.summary = "build containers at a commit and publish their tags",
	.operands = "NAME...",
	.details = "The tag is v<version>-<first 7 of the commit>. Nothing is released from a changed work "
		   "tree or an unpushed commit unless "
		   "--force, which adds -unpushed or -dirty-<content> to the tag: no provenance matches "
		   "those. A "
		   "tag that exists with another digest is never overwritten.",
	.min = 1,
	.max = UNLIMITED,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct release_args),
	.builds = true,
	.run = run,
};
