/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "cli/build_args.h"
#include "cli/cmds.h"
#include "cli/job_text.h"
#include "cli/release_detach.h"
#include "cli/release_show.h"
#include "cli/render.h"
#include "cli/run_follow.h"
#include "cli/run_show.h"
#include "cli/via.h"
#include "release/dispatch.h"
#include "release/local.h"

struct release_args {
	const char *ref, *progress, *via;
	struct strvec allow;
	bool dry_run, force, no_cache, json, detach, follow;
};

#define OPT(field) offsetof(struct release_args, field)

static const struct option options[] = {
	{"ref", 0, OPTION_TEXT, "REF", OPT(ref), "the commit to release (default: HEAD)"},
	{"dry-run", 'n', OPTION_FLAG, NULL, OPT(dry_run), "show what would be built and published"},
	{"detach", 'd', OPTION_FLAG, NULL, OPT(detach), "queue, and leave the work to a background process"},
	{"follow", 'f', OPTION_FLAG, NULL, OPT(follow),
		"with --detach or via server: show the logs until the end; the exit status is the runs'"},
	{"via", 0, OPTION_TEXT, "WHERE", OPT(via), VIA_HELP},
	{"force", 0, OPTION_FLAG, NULL, OPT(force),
		"also an unpushed commit or a changed work tree, under a tag that says so"},
	{"allow", 0, OPTION_LIST, "RIGHT", OPT(allow),
		"security.insecure: let RUN --security=insecure leave the sandbox"},
	{"no-cache", 0, OPTION_FLAG, NULL, OPT(no_cache), "run every step again"},
	{"progress", 0, OPTION_TEXT, "MODE", OPT(progress), "auto, tty, plain, json or quiet"},
	{"json", 0, OPTION_FLAG, NULL, OPT(json), "print the plan or the result as JSON"},
};

/* One container. */
struct item {
	struct release_plan plan;
	struct via via;
	int64_t number; /* of its run; 0: it has none */
};

struct releasing {
	struct cli *c;
	const struct release_args *args;
	struct repo *repo;
	bool allow_insecure;
	struct engine *eng; /* opened when something is queued */
	struct runs *runs;
	struct vec items;
};

static void releasing_fini(struct releasing *r)
{
	for (size_t i = 0; i < r->items.len; i++)
		release_plan_fini(&((struct item *)vec_at(&r->items, i))->plan);
	vec_fini(&r->items);
	runs_close(r->runs);
	engine_close(r->eng);
	repo_free(r->repo);
}

/* One container that fails does not keep the others from their release. */
static void fail(struct releasing *r, struct err *e)
{
	if (!e)
		return;
	fflush(r->c->out);
	report_error(r->c, e);
	if (!r->c->exit_status)
		r->c->exit_status = err_exit_status(e);
	err_ignore(e, "reported");
}

static void print_json(struct releasing *r, const struct item *it, const struct run *run)
{
	AUTO_JSON json_t *o = release_to_json(&it->plan, run);
	AUTO_FREE char *text = json_dump_pretty(o);

	fprintf(r->c->out, "%s\n", text);
	fflush(r->c->out);
}

/* ---- planning ---- */

static struct err *check_item(const struct releasing *r, const struct item *it)
{
	const struct release_plan *p = &it->plan;

	if (it->via.via == RUN_VIA_SERVER && (p->dirty || p->unpushed))
		return err_hint(err_new(ERR_INVALID, "%s: runners of a server see only what is pushed",
					p->container.dir),
			"--via local releases it from here");
	if (it->via.via == RUN_VIA_SERVER && r->allow_insecure)
		return err_new(ERR_USAGE,
			"--allow is for releases from here: runners of a server have rules of "
			"their own");
	if (it->via.via == RUN_VIA_LOCAL && p->dirty && r->args->detach)
		return err_hint(err_new(ERR_INVALID,
					"%s: a changed work tree is not released in the background, "
					"where it may change again",
					p->container.dir),
			"commit it, or leave --detach out");
	return NULL;
}

static struct err *plan_item(struct releasing *r, const char *name)
{
	const struct release_args *args = r->args;
	const struct release_request rq = {
		.repo = r->repo,
		.name = name,
		.ref = args->ref,
		.dry_run = args->dry_run,
		.force = args->force,
		.cancel = r->c->cancel,
	};
	struct item it = {0};

	TRY(release_plan_make(&rq, &it.plan));
	struct err *e = via_choose(args->via, it.plan.config.server, &it.via);
	if (!e)
		e = check_item(r, &it);
	if (e) {
		release_plan_fini(&it.plan);
		return e;
	}
	vec_push_copy(&r->items, &it);
	return NULL;
}

/* ---- queueing ---- */

static struct err *open_queue(struct releasing *r, enum run_via via)
{
	if (!r->eng)
		TRY(engine_open(&r->c->engine, &r->eng));
	if (via == RUN_VIA_LOCAL && !r->runs)
		TRY(runs_open(engine_home(r->eng), &r->runs));
	return NULL;
}

static void tell_number(struct releasing *r, const struct item *it, const char *url)
{
	const char *how = r->args->follow                                    ? ""
			  : it->via.via == RUN_VIA_LOCAL && !r->args->detach ? ""
			  : it->plan.jobs.len > 1                            ? " -f"
									     : " -j 0 -f";

	if (r->args->json)
		return;
	fprintf(r->c->out, "run %lld", (long long)it->number);
	if (url)
		fprintf(r->c->out, "  %s", url);
	AUTO_FREE char *command = via_command(&it->via, "cooper logs %lld%s", (long long)it->number, how);
	if (*how)
		fprintf(r->c->out, "  (%s)", command);
	fprintf(r->c->out, "\n");
	fflush(r->c->out);
}

static struct err *queue_item(struct releasing *r, struct item *it)
{
	AUTO(run_fini) struct run spec = {0};
	AUTO_FREE char *url = NULL;

	TRY(cancel_check(r->c->cancel));
	TRY(open_queue(r, it->via.via));
	release_plan_run(&it->plan, r->args->ref, it->via.via, &spec);
	spec.no_cache = r->args->no_cache;
	if (it->via.via == RUN_VIA_LOCAL) {
		TRY(runs_add(r->runs, &spec, &it->number));
	} else {
		const struct dispatch_request rq = {
			.server = it->via.server, .spec = &spec, .cancel = r->c->cancel};
		TRY(dispatch_server(r->eng, &rq, &it->number, &url));
	}
	tell_number(r, it, url);
	return NULL;
}

/* ---- working ---- */

static void on_wait(void *ctx, const struct job *j)
{
	const struct releasing *r = ctx;

	fprintf(r->c->err, "waiting: another run is publishing %s\n", j->reference);
	fflush(r->c->err);
}

static struct err *open_source(struct releasing *r, const struct item *it, struct run_source *out)
{
	return it->via.via == RUN_VIA_LOCAL ? run_source_local(r->eng, out)
					    : run_source_server(r->eng, it->via.server, out);
}

/* What became of the run; its failures were told by the display or stand in its log. */
static struct err *tell_result(struct releasing *r, const struct item *it, const struct run_source *source)
{
	AUTO(run_fini) struct run run = {0};

	TRY(source->get(source->ctx, it->number, &run));
	if (r->args->json)
		print_json(r, it, &run);
	else if (job_status_is_final(run.status))
		show_results(r->c->out, &run);
	fflush(r->c->out);
	if (job_status_is_final(run.status) && run.status != JOB_SUCCESS && !r->c->exit_status)
		r->c->exit_status = 1;
	return NULL;
}

static struct err *work_here(struct releasing *r, struct item *it)
{
	struct job_text_shown shown = {r->c, r->args->progress, &it->via};
	struct job_text text = job_text_shown(&shown);
	const struct local_work w = {
		.runs = r->runs,
		.number = it->number,
		.repo = r->repo,
		.plan = &it->plan,
		.force = r->args->force,
		.allow_insecure = r->allow_insecure,
		.text = &text,
		.on_wait = on_wait,
		.ctx = r,
		.cancel = r->c->cancel,
	};
	AUTO(run_source_close) struct run_source source = {0};

	TRY(local_work_off(r->eng, &w));
	TRY(open_source(r, it, &source));
	return tell_result(r, it, &source);
}

static struct err *watch(struct releasing *r, struct item *it)
{
	AUTO(run_source_close) struct run_source source = {0};

	TRY(open_source(r, it, &source));
	const struct follow f = {
		.c = r->c,
		.source = &source,
		.out = r->args->json ? r->c->err : r->c->out,
		.live = true,
	};
	struct err *e = r->args->follow ? follow_run(&f, it->number) : NULL;
	if (err_kind(e) == ERR_CANCELED) {
		AUTO_FREE char *command = via_command(&it->via, "cooper cancel %lld", (long long)it->number);
		return err_hint(e, "run %lld goes on; %s stops it", (long long)it->number, command);
	}
	TRY(e);
	return r->args->follow || r->args->json ? tell_result(r, it, &source) : NULL;
}

static struct err *detach(struct releasing *r)
{
	AUTO_STRVEC struct strvec numbers = {0};

	for (size_t i = 0; i < r->items.len; i++) {
		const struct item *it = vec_at(&r->items, i);
		if (it->number && it->via.via == RUN_VIA_LOCAL)
			strvec_pushf(&numbers, "%lld", (long long)it->number);
	}
	if (!numbers.len)
		return NULL;
	const struct detach_options opt = {
		.home = engine_home(r->eng),
		.config = r->c->engine.config_file,
		.force = r->args->force,
		.allow = &r->args->allow,
		.numbers = &numbers,
	};
	TRY(release_detach(r->runs, &opt));
	runs_closep(&r->runs);
	return NULL;
}

static struct err *prepare(struct releasing *r, const struct strvec *names)
{
	const struct release_args *args = r->args;

	TRY(build_allow_parse(&args->allow, &r->allow_insecure));
	TRY(display_check_progress(args->progress));
	TRY(repo_open(".", &r->repo));
	for (size_t i = 0; i < names->len; i++)
		fail(r, plan_item(r, names->ptr[i]));
	for (size_t i = 0; i < r->items.len; i++) {
		struct item *it = vec_at(&r->items, i);
		if (!args->json)
			show_plan(r->c->out, &it->plan);
		else if (args->dry_run)
			print_json(r, it, NULL);
		fflush(r->c->out);
		if (!args->dry_run)
			fail(r, queue_item(r, it));
	}
	return NULL;
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	AUTO(releasing_fini) struct releasing r = {.c = c, .args = args, .items = VEC_OF(struct item)};

	TRY(prepare(&r, operands));
	if (r.args->detach)
		TRY(detach(&r));
	for (size_t i = 0; i < r.items.len; i++) {
		struct item *it = vec_at(&r.items, i);
		if (it->number && it->via.via == RUN_VIA_LOCAL && !r.args->detach)
			fail(&r, work_here(&r, it));
		else if (it->number)
			fail(&r, watch(&r, it));
	}
	return NULL;
}

const struct command cmd_release = {
	.name = "release",
	.summary = "build containers at a commit and publish their tags",
	.operands = "NAME...",
	.details =
		"The tag is v<version>-<first 7 of the commit>. Nothing is released from a changed work tree "
		"or "
		"an unpushed commit unless --force, which adds -unpushed or -dirty-<content> to the tag: no "
		"provenance matches those. A tag that exists with another digest is never overwritten.\n\n"
		"Each container is a run, which cooper logs shows. Without a server this process works it "
		"off, "
		"or with --detach one in the background, which outlives the shell; ^C or cooper cancel stops "
		"it. "
		"With a server (cooper.yaml) runners do, and the command ends once the run is queued. "
		"Several "
		"containers are several runs: one that fails does not stop the others, and the exit status "
		"is 1.",
	.min = 1,
	.max = UNLIMITED,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct release_args),
	.builds = true,
	.run = run,
};
